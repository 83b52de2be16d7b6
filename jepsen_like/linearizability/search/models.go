package main

import (
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
)

// model is a sequential specification of one key.
//
// An open operation that can not take effect in a state leaves it as it is. That loses nothing: one
// that never took effect is placed behind all others, where nobody sees what it did.
type model struct {
	operations map[string]bool // What it knows.
	checked    porcupine.Model
}

var models = map[string]model{
	"append": {
		operations: map[string]bool{"append": true, "end": true},
		checked: porcupine.Model{
			Init: func() interface{} { return logState{} },
			Step: func(state, input, _ interface{}) (bool, interface{}) {
				return stepLog(state.(logState), input.(operation))
			},
		},
	},
	"topic": {
		operations: map[string]bool{"create": true, "alter": true, "delete": true, "inspect": true},
		checked: porcupine.Model{
			Init: func() interface{} { return topicState{} },
			Step: func(state, input, _ interface{}) (bool, interface{}) {
				return stepTopic(state.(topicState), input.(operation))
			},
		},
	},
}

// logState is a partition's log as far as its ends go.
//
// Low to High, inclusive both, is where the data may end: one offset, unless a record was stored of
// which nobody was told where. Floor is the least end of the log itself, which has entries behind
// its data that are no records: a leader's first entry takes an offset, too. Known is the end of the
// last record whose place is known. Records are stored in the order of their places, so the next
// such record is the one right behind it: that keeps the search short.
type logState struct {
	Low, High, Floor, Known int64
}

func stepLog(state logState, done operation) (bool, logState) {
	holds := done.Expected < 0 || (state.Low <= done.Expected && done.Expected <= state.High)
	switch {
	case done.What == "end" && done.Outcome == outcomeOK:
		if done.End < state.Low || done.End < state.Floor {
			return false, state
		}
		return true, logState{state.Low, min(state.High, done.End), done.End, state.Known}
	case done.What == "end":
		return true, state
	case done.takesEffect() && done.Offset < 0:
		return holds, stored(state, done)
	case done.takesEffect():
		least := max(state.Low, state.Floor, done.Expected)
		end := done.Offset + done.Count
		fits := done.Offset >= least && state.Known == done.after
		return holds && fits, logState{end, end, end, end}
	case done.Outcome == outcomeRefused:
		// The refusal tells the end that the condition met.
		met := done.End != done.Expected && state.Low <= done.End && done.End <= state.High
		return met, logState{done.End, done.End, max(state.Floor, done.End), state.Known}
	case holds:
		return true, stored(state, done)
	default:
		return true, state
	}
}

// stored is the state after a record was stored at an offset that nobody was told.
func stored(state logState, done operation) logState {
	least := max(state.Low, state.Floor, done.Expected) + done.Count
	return logState{least, math.MaxInt64, least, state.Known}
}

// findPredecessors fills in `after`.
func findPredecessors(operations []operation) {
	var ends []int64
	for _, one := range operations {
		if one.What == "append" && one.Offset >= 0 {
			ends = append(ends, one.Offset+one.Count)
		}
	}
	slices.Sort(ends)
	for index := range operations {
		before, _ := slices.BinarySearch(ends, operations[index].Offset+1)
		if before > 0 {
			operations[index].after = ends[before-1]
		}
	}
}

// topicState is a topic of one name: whether there is one, and a setting of it.
type topicState struct {
	Exists bool
	Value  string
}

func stepTopic(state topicState, done operation) (bool, topicState) {
	possible := state.Exists != (done.What == "create")
	switch {
	case done.Outcome == outcomeRefused:
		return !possible, state // Refusals are: it exists already, or there is none.
	case done.What == "inspect":
		seen := state.Exists && state.Value == done.Value
		return done.Outcome == outcomeOpen || seen, state
	case !possible:
		return done.Outcome == outcomeOpen, state
	case done.What == "delete":
		return true, topicState{}
	default:
		return true, topicState{true, done.Value}
	}
}
