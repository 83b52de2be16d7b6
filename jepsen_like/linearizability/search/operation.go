package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// lineBytesMax bounds one line of the input.
const lineBytesMax = 1 << 20

// Outcomes of an operation.
const (
	outcomeOK      = "ok"      // It took effect, and this is what it returned.
	outcomeRefused = "refused" // It had no effect; why says something about the state.
	outcomeOpen    = "open"    // Nobody was told. It may take effect at any time after its call, or never.
)

// operation is one line of the input; operations.py documents it.
type operation struct {
	Line     int    `json:"line"`
	Key      string `json:"key"`
	Process  string `json:"process"`
	Call     int64  `json:"call"`
	Return   int64  `json:"return"`
	What     string `json:"what"`
	Outcome  string `json:"outcome"`
	Value    string `json:"value"`
	Expected int64  `json:"expected"`
	Count    int64  `json:"count"`
	Offset   int64  `json:"offset"`
	End      int64  `json:"end"`

	// after is where the records end that are known to lie right before this one.
	after int64
}

// takesEffect says that it is certain, if not when.
func (done operation) takesEffect() bool {
	return done.Outcome == outcomeOK || (done.Outcome == outcomeOpen && done.Offset >= 0)
}

// readOperations reads JSON lines. Open operations return at the end of time.
func readOperations(input io.Reader) ([]operation, error) {
	var operations []operation
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, lineBytesMax)
	for number := 1; lines.Scan(); number++ {
		read := operation{Line: number, Expected: -1, Count: 1, Offset: -1, End: -1}
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&read); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		switch read.Outcome {
		case outcomeOK, outcomeRefused:
			if read.Return < read.Call {
				return nil, fmt.Errorf("line %d: returns at %d, before its call at %d", number, read.Return, read.Call)
			}
		case outcomeOpen:
			read.Return = math.MaxInt64
		default:
			return nil, fmt.Errorf("line %d: outcome is %q, not ok, refused or open", number, read.Outcome)
		}
		operations = append(operations, read)
	}
	return operations, lines.Err()
}
