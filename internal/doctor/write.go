package doctor

import (
	"fmt"
	"io"
	"strings"
)

// lineWidth is where lines of a written report are broken, in characters.
const lineWidth = 100

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, c := range r.Checks {
		head := fmt.Sprintf("%-4s  %s: ", c.Status, c.Area)
		fold(&b, head, c.Tried+": "+sentence(c.Result), strings.Repeat(" ", 6))
		if c.Advice != "" {
			fold(&b, "      -> ", sentence(c.Advice), strings.Repeat(" ", 9))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

func sentence(text string) string { return strings.TrimSuffix(text, ".") + "." }

// fold writes text behind head and breaks it at blanks; further lines begin with indent.
func fold(b *strings.Builder, head, text, indent string) {
	line := head
	blank := true // nothing stands on the line yet
	for word := range strings.FieldsSeq(text) {
		if !blank && len([]rune(line))+1+len([]rune(word)) > lineWidth {
			b.WriteString(line + "\n")
			line, blank = indent, true
		}
		if !blank {
			line += " "
		}
		line += word
		blank = false
	}
	b.WriteString(line + "\n")
}
