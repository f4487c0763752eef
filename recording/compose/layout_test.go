package compose

import (
	"fmt"
	"testing"
)

// TestArrange checks for many numbers of people that everybody has a place of their own inside the picture.
func TestArrange(t *testing.T) {
	for _, size := range [][2]int{{1280, 720}, {640, 480}, {720, 1280}, {64, 64}} {
		w, h := size[0], size[1]
		for screens := range 4 {
			for cameras := range 13 {
				name := fmt.Sprintf("%d screens and %d cameras in %dx%d", screens, cameras, w, h)
				forScreens, forCameras := arrange(screens, cameras, w, h)
				if len(forScreens) != screens || len(forCameras) != cameras {
					t.Fatalf("%s: %d and %d places", name, len(forScreens), len(forCameras))
				}
				for _, group := range [][]place{forScreens, forCameras} {
					for n, p := range group {
						if (p.x|p.y|p.w|p.h)&1 != 0 || p.w < 2 || p.h < 2 || p.x < 0 || p.y < 0 || p.x+p.w > w || p.y+p.h > h {
							t.Errorf("%s: a place is %v", name, p)
						}
						for _, q := range group[:n] {
							if w > 64 && p.x < q.x+q.w && q.x < p.x+p.w && p.y < q.y+q.h && q.y < p.y+p.h {
								t.Errorf("%s: %v lies over %v", name, p, q)
							}
						}
					}
				}
			}
		}
	}
}

func TestArrangement(t *testing.T) {
	whole := place{rect{0, 0, 1280, 720}, false}
	if _, one := arrange(0, 1, 1280, 720); one[0] != whole {
		t.Errorf("a camera alone: %v", one)
	}
	if _, two := arrange(0, 2, 1280, 720); two[0] != (place{rect{0, 0, 636, 720}, false}) || two[1] != (place{rect{644, 0, 636, 720}, false}) {
		t.Errorf("two cameras: %v", two)
	}
	if _, three := arrange(0, 3, 1280, 720); three[2] != (place{rect{322, 364, 636, 356}, false}) {
		t.Errorf("the third camera is not in the middle of the second row: %v", three)
	}
	screen, camera := arrange(1, 1, 1280, 720)
	if screen[0] != whole || camera[0] != (place{rect{1008, 560, 256, 144}, true}) {
		t.Errorf("a screen and a camera: %v, %v", screen, camera)
	}
}
