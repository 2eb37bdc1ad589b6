package mqui

import (
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The plots are drawn by the server. Colours come from the style sheet by classes, since
// the policy of the pages allows no style of an element's own.

// The size of a sparkline, and into how many steps its time is divided.
const (
	sparkWidth, sparkHeight = 90, 18
	sparkSteps              = 45
)

// sparkline is the rates of a queue over 15 minutes.
type sparkline struct {
	Sent, Done string // as the d of a path
	Label      string // for screen readers
}

func newSparkline(points []point) sparkline {
	sent, done := resample(points, func(p point) float32 { return p.sent }), resample(points, func(p point) float32 { return p.done })
	top := max(highest(sent), highest(done))
	if top == 0 {
		return sparkline{Sent: trace(sent, 1, sparkWidth, sparkHeight), Label: "nothing sent or done in 15 minutes"}
	}
	return sparkline{
		Sent: trace(sent, top, sparkWidth, sparkHeight), Done: trace(done, top, sparkWidth, sparkHeight),
		Label: "at most " + perSecond(highest(sent)) + " sent and " + perSecond(highest(done)) + " done per second in 15 minutes",
	}
}

// resample averages the points of each step. Steps without any are unknown.
func resample(points []point, of func(point) float32) []float32 {
	steps := make([]float32, sparkSteps)
	counts := make([]int, sparkSteps)
	for _, p := range points {
		i := sparkSteps - 1 - int(points[len(points)-1].at.Sub(p.at)*sparkSteps/(historyLength+time.Second))
		if f := of(p); i >= 0 && known(f) {
			steps[i] += f
			counts[i]++
		}
	}
	for i, n := range counts {
		if n == 0 {
			steps[i] = unknown
		} else {
			steps[i] /= float32(n)
		}
	}
	return steps
}

func highest(fs []float32) (top float32) {
	for _, f := range fs {
		if f > top {
			top = f
		}
	}
	return top
}

// trace returns a path through evenly spaced figures. It has a gap where they are unknown,
// and no point where it goes straight on.
func trace(fs []float32, top float32, width, height int) string {
	var b strings.Builder
	pen, flat := false, false
	last, lastX := 0, 0
	for i, f := range fs {
		x := i * width / max(len(fs)-1, 1)
		if !known(f) {
			b.WriteString(horizontal(flat, lastX))
			pen, flat = false, false
			continue
		}
		y := height - 1 - int(math.Round(float64(min(f/top, 1))*float64(height-2)))
		switch {
		case !pen:
			b.WriteString("M" + strconv.Itoa(x) + " " + strconv.Itoa(y))
		case y == last:
			flat, lastX = true, x
			continue
		default:
			b.WriteString(horizontal(flat, lastX) + "L" + strconv.Itoa(x) + " " + strconv.Itoa(y))
		}
		pen, flat, last, lastX = true, false, y, x
	}
	b.WriteString(horizontal(flat, lastX))
	return b.String()
}

// horizontal goes on to x if it is due.
func horizontal(due bool, x int) string {
	if !due {
		return ""
	}
	return "H" + strconv.Itoa(x)
}

// The area of a plot, and the room for its axes.
const (
	plotWidth, plotHeight = 400, 110
	plotLeft, plotTop     = 52, 8
)

// plot is a diagram of up to three lines over 15 minutes.
type plot struct {
	Title  string
	Lines  []plotLine
	YTicks []tick
	XTicks []tick
	Label  string
}

type plotLine struct {
	Class, Name, Path, Last string
}

// tick is a mark on an axis.
type tick struct {
	At   int
	Text string
}

// series is one line of a plot before it is drawn.
type series struct {
	class, name string
	of          func(point) float32
}

func newPlot(title string, points []point, format func(float32) string, lines ...series) plot {
	p := plot{Title: title, XTicks: timeTicks()}
	top := float32(0)
	for _, l := range lines {
		for _, at := range points {
			if f := l.of(at); f > top {
				top = f
			}
		}
	}
	top = roundUp(top)
	for _, f := range []float32{0, top / 2, top} {
		p.YTicks = append(p.YTicks, tick{plotTop + plotHeight - int(f/top*plotHeight), format(f)})
	}
	var labels []string
	for _, l := range lines {
		last := "-"
		if n := len(points); n > 0 {
			last = format(l.of(points[n-1]))
		}
		p.Lines = append(p.Lines, plotLine{l.class, l.name, plotPath(points, l.of, top), last})
		labels = append(labels, l.name+" "+last)
	}
	p.Label = title + ": " + strings.Join(labels, ", ")
	return p
}

// timeTicks mark every five minutes.
func timeTicks() (ticks []tick) {
	for _, minutes := range []int{15, 10, 5, 0} {
		text := "now"
		if minutes > 0 {
			text = "-" + strconv.Itoa(minutes) + "m"
		}
		ticks = append(ticks, tick{plotLeft + plotWidth - plotWidth*minutes/15, text})
	}
	return ticks
}

// roundUp returns the next of 1, 2, 5, 10, 20, 50...
func roundUp(f float32) float32 {
	if f <= 0 {
		return 1
	}
	decade := math.Pow(10, math.Floor(math.Log10(float64(f))))
	steps := []float64{1, 2, 5, 10}
	i := slices.IndexFunc(steps, func(s float64) bool { return s*decade >= float64(f) })
	return float32(steps[max(i, 0)] * decade)
}

// plotPath draws one line by the time of its points.
func plotPath(points []point, of func(point) float32, top float32) string {
	var b strings.Builder
	pen := "M"
	for _, p := range points {
		f := of(p)
		if !known(f) {
			pen = "M"
			continue
		}
		back := float64(points[len(points)-1].at.Sub(p.at)) / float64(historyLength)
		x := plotLeft + int(math.Round(plotWidth*(1-min(back, 1))))
		y := plotTop + plotHeight - int(math.Round(float64(f/top)*plotHeight))
		b.WriteString(pen + strconv.Itoa(x) + " " + strconv.Itoa(y))
		pen = "L"
	}
	return b.String()
}

// plotsOf returns the plots of a queue's page.
func plotsOf(points []point) []plot {
	count := func(f float32) string {
		if !known(f) {
			return "-"
		}
		return number(int64(math.Round(float64(f))))
	}
	age := func(f float32) string {
		if !known(f) {
			return "-"
		}
		return duration(time.Duration(float64(f) * float64(time.Second)))
	}
	return []plot{
		newPlot("Depth", points, count,
			series{"line-a", "waiting", func(p point) float32 { return p.visible }},
			series{"line-b", "leased", func(p point) float32 { return p.leased }},
			series{"line-c", "delayed", func(p point) float32 { return p.delayed }}),
		newPlot("Per second", points, perSecond,
			series{"line-a", "sent", func(p point) float32 { return p.sent }},
			series{"line-b", "done", func(p point) float32 { return p.done }}),
		newPlot("Age", points, age,
			series{"line-a", "lag", func(p point) float32 { return p.lag }},
			series{"line-c", "oldest", func(p point) float32 { return p.oldest }}),
	}
}

// The sizes of the drawings, for the templates.
var drawing = template.FuncMap{
	"plotRight":  func() int { return plotLeft + plotWidth },
	"plotBottom": func() int { return plotTop + plotHeight },
	"plotLeft":   func() int { return plotLeft },
}
