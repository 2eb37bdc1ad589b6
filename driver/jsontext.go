package driver

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// JSONText returns the value at path in a JSON document as text, as the operator
// #>> of PostgreSQL does: a string without its quotes, a number or a boolean
// as it is written, an object or an array as compact JSON. There is none if
// the document is not JSON, has nothing there, or has a null there.
func JSONText(doc []byte, path []string) (text string, ok bool) {
	value := json.RawMessage(bytes.TrimSpace(doc))
	if !json.Valid(value) {
		return "", false
	}
	for _, step := range path {
		if value = child(value, step); value == nil {
			return "", false
		}
	}
	return textOf(value)
}

// child returns the value under a key of an object or at a position of an
// array, which counts from the end if it is negative.
func child(value json.RawMessage, step string) json.RawMessage {
	switch value[0] {
	case '{':
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) == nil {
			return object[step]
		}
	case '[':
		var array []json.RawMessage
		i, err := strconv.Atoi(step)
		if err != nil || json.Unmarshal(value, &array) != nil {
			return nil
		}
		if i < 0 {
			i += len(array)
		}
		if i >= 0 && i < len(array) {
			return array[i]
		}
	}
	return nil
}

func textOf(value json.RawMessage) (text string, ok bool) {
	switch value[0] {
	case 'n':
		return "", false
	case '"':
		err := json.Unmarshal(value, &text)
		return text, err == nil
	case '{', '[':
		var compact bytes.Buffer
		err := json.Compact(&compact, value)
		return compact.String(), err == nil
	}
	return string(value), true
}
