package rabbitmq

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
)

// bodyFrame is a frame of properties, which are a content type and a table.
func bodyFrame(table []byte) []byte {
	payload := append([]byte{0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0, 0, 2, 'c', 't'}, longString(string(table))...)
	var b bytes.Buffer
	frame(&b, frameOfBody, 1, payload...)
	return b.Bytes()
}

func nested(levels int) []byte {
	table := []byte{1, 'n', 'V'}
	for range levels {
		table = append([]byte{1, 'n', 'F'}, longString(string(table))...)
	}
	return table
}

// TestFrames: what amqp091-go can read is passed on as it is, and of all else
// only the fields that it cannot read are changed.
func TestFrames(t *testing.T) {
	good := []byte{1, 'g', 'I', 0, 0, 0, 7}
	field := func(name string, value ...byte) []byte {
		return append(append([]byte{byte(len(name))}, name...), value...)
	}
	for name, c := range map[string]struct{ table, want []byte }{
		"none":             {nil, nil},
		"good":             {good, good},
		"deep":             {nested(32), nested(32)},
		"too deep":         {bytes.Join([][]byte{good, nested(33), good}, nil), bytes.Join([][]byte{good, bytesField(nil, "n", nested(33)[2:]), good}, nil)},
		"unknown type":     {append(bytes.Clone(good), field("u", '?', 1)...), append(bytes.Clone(good), bytesField(nil, headerUnreadable, field("u", '?', 1))...)},
		"unknown, nested":  {field("a", append([]byte{'A', 0, 0, 0, 2}, '?', 1)...), bytesField(nil, "a", []byte{'A', 0, 0, 0, 2, '?', 1})},
		"cut off":          {field("s", 'S', 0, 0, 1, 0), bytesField(nil, headerUnreadable, field("s", 'S', 0, 0, 1, 0))},
		"name is cut off":  {[]byte{9, 'n'}, bytesField(nil, headerUnreadable, []byte{9, 'n'})},
		"deep at the end":  {nested(40), bytesField(nil, "n", nested(40)[2:])},
		"nothing but name": {field("n"), bytesField(nil, headerUnreadable, field("n"))},
	} {
		var stream bytes.Buffer
		answer(&stream, 1, basicGetOk, 1, 2, 3)
		head := stream.Len()
		stream.Write(bodyFrame(c.table))
		frame(&stream, 3, 1, 'x')
		whole := bytes.Clone(stream.Bytes())
		got, err := io.ReadAll(newFrames(iotest.OneByteReader(&stream)))
		want := append(append(bytes.Clone(whole[:head]), bodyFrame(c.want)...), whole[len(whole)-9:]...)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, got[min(head, len(got)):], want[head:])
		}
	}
}

// TestFramesFull: a frame that has no room for the change stays within the limit.
func TestFramesFull(t *testing.T) {
	table := func(n int) []byte {
		return append(append([]byte{1, 'b', 'x'}, longString(string(make([]byte, n)))...), 1, 'u', '?')
	}
	full := bodyFrame(table(frameSize - len(bodyFrame(table(0)))))
	got, err := io.ReadAll(newFrames(bytes.NewReader(full)))
	count := append([]byte{16}, "x-delivery-countl\x00\x00\x00\x00\x00\x00\x00\x05"...)
	larger, err2 := io.ReadAll(newFrames(bytes.NewReader(bodyFrame(append(table(frameSize-len(bodyFrame(table(0)))), count...)))))
	if err2 != nil || len(larger) != frameSize || !bytes.Contains(larger, count) && !bytes.Contains(larger, []byte(headerUnreadable)) {
		t.Errorf("a frame that is too large became one of %d bytes, %v", len(larger), err2)
	}
	if err != nil || len(got) > frameSize || int(binary.BigEndian.Uint32(got[3:])) != len(got)-frameHead-1 {
		t.Errorf("a frame of %d bytes became one of %d, %v", len(full), len(got), err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(nested(40))
	f.Add([]byte{1, 'n', 'V'})
	f.Fuzz(func(t *testing.T, table []byte) {
		got := readable(bodyFrame(table))
		const at = frameHead + 12 + 2 + 3
		size := int(binary.BigEndian.Uint32(got[at:]))
		if len(got) <= frameSize && !readableTable(got[at+4:at+4+size], 0) {
			t.Errorf("%q became %q", table, got)
		}
	})
}
