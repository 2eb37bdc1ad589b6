package workflow

import (
	"encoding/binary"
	"errors"
	"math"
)

// TaskRequestMessage asks for the words of a folder to be counted.
type TaskRequestMessage struct {
	TaskID        string `json:"task_id"` // names one task for ever: a second request is the same one
	CorrelationID string `json:"correlation_id"`
	Folder        string `json:"folder"` // of the texts
	Work          string `json:"work"`   // the folder for what the steps make
}

// StepMessage hands one step to a worker. It has an encoding of its own,
// because it is sent most often.
type StepMessage struct {
	TaskID        string
	StepID        string
	CorrelationID string
	Attempt       int      // 1 is the first
	Inputs        []string // files to read
	Output        string   // file to write
}

// StepExecutionResult is a worker's answer to one StepMessage.
type StepExecutionResult struct {
	TaskID        string   `json:"task_id"`
	StepID        string   `json:"step_id"`
	CorrelationID string   `json:"correlation_id"`
	Attempt       int      `json:"attempt"`
	Outputs       []string `json:"outputs,omitempty"` // files found or made
	Error         string   `json:"error,omitempty"`   // "" if the step succeeded
	Permanent     bool     `json:"permanent,omitempty"`
}

// Status is how a task ended.
type Status string

const (
	Complete        Status = "complete"
	PartiallyFailed Status = "partially failed" // there is a result, without what failed
	Failed          Status = "failed"           // there is no result
)

// TaskFinalizationMessage tells how a task ended.
type TaskFinalizationMessage struct {
	TaskID        string      `json:"task_id"`
	CorrelationID string      `json:"correlation_id"`
	Status        Status      `json:"status"`
	Output        string      `json:"output,omitempty"` // the merged counts: see ReadCounts
	Steps         int         `json:"steps"`
	Retries       int         `json:"retries"`
	Errors        []StepError `json:"errors,omitempty"`
}

// StepError is why a step failed for good.
type StepError struct {
	StepID string   `json:"step_id"`
	Inputs []string `json:"inputs"`
	Error  string   `json:"error"`
}

// stepVersion is the first byte of an encoded StepMessage.
const stepVersion = 1

// MarshalMQ encodes s: a version, the attempt, and the texts, each after its
// length.
func (s StepMessage) MarshalMQ() ([]byte, error) {
	if s.Attempt < 1 {
		return nil, errors.New("step message: attempts begin with 1")
	}
	b := []byte{stepVersion}
	b = binary.AppendUvarint(b, uint64(s.Attempt))
	for _, text := range append([]string{s.TaskID, s.StepID, s.CorrelationID, s.Output}, s.Inputs...) {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b, nil
}

// UnmarshalMQ decodes what MarshalMQ encoded.
func (s *StepMessage) UnmarshalMQ(data []byte) error {
	if len(data) == 0 || data[0] != stepVersion {
		return errors.New("step message: unknown version")
	}
	attempt, data, err := uvarint(data[1:])
	if err != nil || attempt < 1 || attempt > math.MaxInt32 {
		return errors.New("step message: malformed attempt")
	}
	var texts []string
	for len(data) > 0 {
		var n uint64
		if n, data, err = uvarint(data); err != nil || n > uint64(len(data)) {
			return errors.New("step message: malformed text")
		}
		texts, data = append(texts, string(data[:n])), data[n:]
	}
	if len(texts) < 4 {
		return errors.New("step message: too short")
	}
	*s = StepMessage{
		TaskID: texts[0], StepID: texts[1], CorrelationID: texts[2], Output: texts[3],
		Attempt: int(attempt), Inputs: texts[4:],
	}
	return nil
}

// uvarint takes a number off the front of data.
func uvarint(data []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, errors.New("malformed number")
	}
	return v, data[n:], nil
}
