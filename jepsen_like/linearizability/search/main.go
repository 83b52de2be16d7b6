// Command search looks for an order of operations that explains what every client saw: are they
// linearizable? It reads JSON lines (operation.go) on standard input and answers with JSON, for each
// key by itself. The search is porcupine's and ends with the time that it is given.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// leftMax bounds how many unexplained operations are told.
const leftMax = 5

// verdict is what is known of one key.
type verdict struct {
	Key        string  `json:"key"`
	Operations int     `json:"operations"`
	Result     string  `json:"result"` // linearizable, violated, or unknown: the time was up
	Explained  int     `json:"explained"`
	Left       []int   `json:"left"` // Lines of the first operations that the longest order leaves out.
	Seconds    float64 `json:"seconds"`
}

func main() {
	name := flag.String("model", "", "append or topic")
	limit := flag.Duration("timeout", 10*time.Second, "for all keys together")
	flag.Parse()
	if err := run(*name, *limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(name string, limit time.Duration) error {
	chosen, known := models[name]
	if !known {
		return fmt.Errorf("model is %q, not append or topic", name)
	}
	if limit <= 0 {
		return fmt.Errorf("timeout is %v, it must be above 0", limit)
	}
	operations, err := readOperations(os.Stdin)
	if err != nil {
		return err
	}
	byKey := map[string][]operation{}
	var keys []string
	for _, one := range operations {
		if !chosen.operations[one.What] {
			return fmt.Errorf("line %d: model %s knows no operation %q", one.Line, name, one.What)
		}
		if byKey[one.Key] == nil {
			keys = append(keys, one.Key)
		}
		byKey[one.Key] = append(byKey[one.Key], one)
	}
	deadline := time.Now().Add(limit)
	verdicts := []verdict{}
	for _, key := range keys {
		verdicts = append(verdicts, search(chosen, key, byKey[key], deadline))
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func search(chosen model, key string, operations []operation, deadline time.Time) verdict {
	found := verdict{Key: key, Operations: len(operations), Result: "unknown", Left: []int{}}
	begin := time.Now()
	left := deadline.Sub(begin)
	if left <= 0 {
		return found // For the search, a limit of 0 is none.
	}
	findPredecessors(operations)
	history := make([]porcupine.Operation, len(operations))
	for index, one := range operations {
		history[index] = porcupine.Operation{Input: one, Call: one.Call, Return: one.Return}
	}
	result, info := porcupine.CheckOperationsVerbose(chosen.checked, history, left)
	switch result {
	case porcupine.Ok:
		found.Result = "linearizable"
	case porcupine.Illegal:
		found.Result = "violated"
	}
	explained := longest(info)
	found.Explained = len(explained)
	found.Left = unexplained(operations, explained)
	found.Seconds = time.Since(begin).Seconds()
	return found
}

func longest(info porcupine.LinearizationInfo) []int {
	var best []int
	for _, key := range info.PartialLinearizations() {
		for _, order := range key {
			if len(order) > len(best) {
				best = order
			}
		}
	}
	return best
}

// unexplained names those that an order leaves out and that have ended, the first to end first.
func unexplained(operations []operation, order []int) []int {
	var rest []operation
	for index, one := range operations {
		if one.Outcome != outcomeOpen && !slices.Contains(order, index) {
			rest = append(rest, one)
		}
	}
	slices.SortFunc(rest, func(a, b operation) int { return int(a.Return - b.Return) })
	lines := []int{}
	for _, one := range rest[:min(len(rest), leftMax)] {
		lines = append(lines, one.Line)
	}
	return lines
}
