package main

import (
	"bytes"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// panel is one of the small pictures.
type panel struct {
	title   string
	log     bool
	columns []column
}

var panels = []panel{
	{"messages a second", false, []column{sentRate, doneRate}},
	{"messages in the queues", false, []column{backlog}},
	{"send, ms", true, []column{sendP50, sendP99}},
	{"end to end, ms", true, []column{latencyP50, latencyP99}},
	{"heap, MB", false, []column{heapLive, heapInUse}},
	{"goroutines", false, []column{goroutines}},
	{"connections", false, []column{connections}},
	{"channels", false, []column{channels}},
	{"broker memory, MB", false, []column{brokerMemory}},
	{"tables and indexes, MB", false, []column{tableSize}},
	{"dead tuples", false, []column{deadTuples}},
	{"WAL, MB a second", false, []column{walRate}},
}

// lineNames is what the names of columns have beyond their panels' titles.
var lineNames = strings.NewReplacer("send ", "", "end to end ", "", "heap ", "", " MB", "", " ms", "")

var colors = []color.Color{color.RGBA{0x1f, 0x6f, 0xb4, 0xff}, color.RGBA{0xd9, 0x5f, 0x02, 0xff}}

// Lengths are in points.
const (
	across                   = 2 // panels side by side
	panelWidth, panelHeight  = vg.Length(270), vg.Length(115)
	titleHeight, panelMargin = vg.Length(28), vg.Length(8)
)

// ourFont is what the text is measured with, webFonts what browsers have of its width.
var ourFont = font.Font{Typeface: "Liberation", Variant: "Sans"}

const svgFont, webFonts = "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;"

// draw draws a run as SVG: small multiples over the same time.
func draw(title string, r *record) ([]byte, error) {
	plot.DefaultFont = ourFont
	rows := [][]*plot.Plot{nil}
	for _, p := range panels {
		one, err := r.plot(p)
		if err != nil {
			return nil, err
		}
		if one == nil {
			continue
		}
		if len(rows[len(rows)-1]) == across {
			rows = append(rows, nil)
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], one)
	}
	for len(rows[len(rows)-1]) < across {
		rows[len(rows)-1] = append(rows[len(rows)-1], nil)
	}
	return paint(title, rows)
}

func paint(title string, rows [][]*plot.Plot) ([]byte, error) {
	width, height := across*panelWidth, titleHeight+vg.Length(len(rows))*panelHeight
	svg := vgsvg.New(width, height)
	whole := vgdraw.New(svg)
	whole.SetColor(color.White)
	whole.Fill(whole.Rectangle.Path())
	style := plot.New().Title.TextStyle
	style.Font.Size = 10
	whole.FillText(style, vg.Point{X: width / 2, Y: height - panelMargin}, title)
	tiles := vgdraw.Tiles{Rows: len(rows), Cols: across, PadX: 2 * panelMargin, PadY: panelMargin, PadLeft: panelMargin, PadRight: panelMargin}
	canvases := plot.Align(rows, tiles, vgdraw.Crop(whole, 0, 0, 0, -titleHeight))
	for i, row := range rows {
		for j, p := range row {
			if p != nil {
				p.Draw(canvases[i][j])
			}
		}
	}
	var b bytes.Buffer
	_, err := svg.WriteTo(&b)
	return bytes.ReplaceAll(b.Bytes(), []byte(svgFont), []byte(webFonts)), err
}

// ticks are the usual ones with short numbers.
type ticks struct{}

func (ticks) Ticks(low, high float64) []plot.Tick {
	all := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range all {
		if t.Label != "" {
			all[i].Label = strconv.FormatFloat(t.Value, 'g', 6, 64)
		}
	}
	return all
}

// plot returns nil if nothing of a panel was measured.
func (r *record) plot(of panel) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.Title.TextStyle.Font.Size = of.title, 9
	p.Legend.Top, p.Legend.Padding, p.Legend.TextStyle.Font.Size = true, 2, 7
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Tick.Label.Font.Size, axis.Tick.Marker, axis.Padding = 7, ticks{}, 0
	}
	drawn := 0
	for _, c := range of.columns {
		xys := r.points(c, of.log)
		if len(xys) == 0 {
			continue
		}
		line, err := plotter.NewLine(xys)
		if err != nil {
			return nil, err
		}
		line.Color = colors[drawn]
		p.Add(line)
		if len(of.columns) > 1 {
			p.Legend.Add(lineNames.Replace(c.String()), line)
		}
		drawn++
	}
	if drawn == 0 {
		return nil, nil
	}
	p.X.Min, p.X.Max = 0, (r.samples[len(r.samples)-1].at + r.samples[0].at).Minutes() // the whole run
	if of.log {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Min, p.Y.Max = decade(p.Y.Min, math.Floor), decade(p.Y.Max, math.Ceil)
	} else {
		p.Y.Min, p.Y.Max = 0, max(p.Y.Max*1.25, 1) // with room for the legend
	}
	return p, nil
}

func decade(y float64, round func(float64) float64) float64 {
	return math.Pow(10, round(math.Log10(y)))
}

// points are the values of a column over minutes, without those that cannot be drawn.
func (r *record) points(c column, log bool) (xys plotter.XYs) {
	for _, s := range r.samples {
		y := s.values[c]
		if log {
			y = max(y, 0.1)
		}
		if !math.IsNaN(y) {
			xys = append(xys, plotter.XY{X: s.at.Minutes(), Y: y})
		}
	}
	return xys
}
