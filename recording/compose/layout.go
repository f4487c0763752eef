package compose

// rect is a part of the picture. All its numbers are even, since colours are stored for two by two pixels.
type rect struct{ x, y, w, h int }

// place is a rect, and where in it a picture of another shape is put.
type place struct {
	rect
	corner bool // at the bottom right, else in the middle
}

const (
	gap = 8 // pixels between the pictures of a grid

	// A camera before a screen takes this part of the width, and half as much again is left around all of them in each row.
	insetShare = 5
)

// arrange places screens and cameras in a picture of w by h: cameras alone in a grid, else small ones before the screens, from
// the bottom right to the left and then upwards.
func arrange(screens, cameras, w, h int) (forScreens, forCameras []place) {
	if screens == 0 {
		return nil, grid(cameras, w, h)
	}
	width := even(w / insetShare)
	height, margin := even(width*9/16), even(w/80)
	inRow := max(1, (w-margin)/(width+margin))
	for n := range cameras {
		row, column := n/inRow, n%inRow
		forCameras = append(forCameras, place{rect{
			x: w - (column+1)*(width+margin), y: max(0, h-(row+1)*(height+margin)), w: width, h: height}, true})
	}
	return grid(screens, w, h), forCameras
}

// grid fills a picture with n rects of one size, as large as pictures of 16 by 9 can be.
func grid(n, w, h int) (places []place) {
	if n == 0 {
		return nil
	}
	if n == 1 {
		return []place{{rect{0, 0, w, h}, false}}
	}
	columns, largest := 1, 0
	for c := 1; c <= n; c++ {
		rows := (n + c - 1) / c
		cell := min((w-gap*(c-1))/c, (h-gap*(rows-1))/rows*16/9)
		if cell > largest {
			columns, largest = c, cell
		}
	}
	rows := (n + columns - 1) / columns
	width, height := even((w-gap*(columns-1))/columns), even((h-gap*(rows-1))/rows)
	for i := range n {
		row, column := i/columns, i%columns
		inRow := min(columns, n-row*columns)
		left := even((w - inRow*width - (inRow-1)*gap) / 2)
		places = append(places, place{rect{left + column*(width+gap), row * (height + gap), width, height}, false})
	}
	return places
}

func even(n int) int { return n &^ 1 }
