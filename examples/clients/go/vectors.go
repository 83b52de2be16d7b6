package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "streamlog.example/client/streamlogv1"
)

// raw is bytes in hexadecimal; null is nil, and empty is not.
type raw []byte

func (r *raw) UnmarshalJSON(text []byte) error {
	var s *string
	if err := json.Unmarshal(text, &s); err != nil || s == nil {
		return err
	}
	b, err := hex.DecodeString(*s)
	*r = append(raw{}, b...)
	return err
}

// vector has the fields of all files.
type vector struct {
	Data, Key, Value, Packed, Payload, Batch, Response, Status raw

	Group, Name, Reason string
	Crc32, Crc32c       uint32
	Headers             [][2]*string
	RecordSet           raw         `json:"record_set"`
	InRecordSet         raw         `json:"in_record_set"`
	OffsetDelta         uint32      `json:"offset_delta"`
	TimestampDeltaMs    int64       `json:"timestamp_delta_ms"`
	RecordID            raw         `json:"record_id"`
	ExpiresAtMs         *int64      `json:"expires_at_ms"`
	PayloadCrc32c       uint32      `json:"payload_crc32c"`
	Partitions          [][2]uint32 `json:"partitions"`
	BaseSequence        uint32      `json:"base_sequence"`
	RecordCount         uint32      `json:"record_count"`
	NextBaseSequence    uint32      `json:"next_base_sequence"`
	FromOffset          uint64      `json:"from_offset"`
	NextOffset          uint64      `json:"next_offset"`
	Records             []printed   `json:"records"`
}

var files = map[string]func(v vector) bool{
	"crc32c.json": func(v vector) bool { return crc32.Checksum(v.Data, castagnoli) == v.Crc32c },
	"records.json": func(v vector) bool {
		r := &pb.Record{Key: v.Key, Value: v.Value, OffsetDelta: v.OffsetDelta,
			TimestampDeltaMs: v.TimestampDeltaMs, RecordId: v.RecordID, ExpiresAtMs: v.ExpiresAtMs}
		for _, h := range v.Headers {
			header := &pb.Header{Name: *h[0]}
			if h[1] != nil {
				header.Value, _ = hex.DecodeString(*h[1])
			}
			r.Headers = append(r.Headers, header)
		}
		var read pb.RecordSet
		made, err := proto.Marshal(&pb.RecordSet{Records: []*pb.Record{r}})
		return err == nil && bytes.Equal(made, v.InRecordSet) &&
			proto.Unmarshal(v.InRecordSet, &read) == nil && proto.Equal(read.Records[0], r)
	},
	"batches.json": func(v vector) bool {
		var b pb.RecordBatch
		if proto.Unmarshal(v.Batch, &b) != nil {
			return false
		}
		plain, err := plainPayload(&b)
		made, _ := proto.Marshal(&b)
		return err == nil && bytes.Equal(plain, v.RecordSet) && bytes.Equal(packed(&b), v.Packed) &&
			checksum(&b) == v.PayloadCrc32c && bytes.Equal(b.Payload, v.Payload) && bytes.Equal(made, v.Batch)
	},
	"refused.json": func(v vector) bool {
		var b pb.RecordBatch
		return proto.Unmarshal(v.Batch, &b) == nil &&
			(checksum(&b) == b.PayloadCrc32C) == (v.Reason != "CORRUPT_BATCH")
	},
	"fetches.json": func(v vector) bool {
		var response pb.FetchResponse
		if proto.Unmarshal(v.Response, &response) != nil || response.NextOffset != v.NextOffset {
			return false
		}
		found := []printed{}
		for _, b := range response.Batches {
			records, err := read(nil, b, v.FromOffset)
			if err != nil {
				return v.Records == nil
			}
			for _, r := range records {
				r.partition = 0 // The vectors do not repeat it.
				found = append(found, r.printed())
			}
		}
		return reflect.DeepEqual(found, v.Records)
	},
	"partitions.json":   func(v vector) bool { return spread(v, v.Key) },
	"coordinators.json": func(v vector) bool { return spread(v, []byte(v.Group)) },
	"sequences.json": func(v vector) bool {
		return (v.BaseSequence+v.RecordCount)%sequences == v.NextBaseSequence
	},
	"statuses.json": func(v vector) bool {
		var s spb.Status
		return proto.Unmarshal(v.Status, &s) == nil && reasonOf(status.ErrorProto(&s)) == v.Reason
	},
}

func spread(v vector, key []byte) bool {
	sum := crc32.ChecksumIEEE(key)
	for _, pair := range v.Partitions {
		if sum%pair[0] != pair[1] {
			return false
		}
	}
	return sum == v.Crc32
}

func vectors(_ context.Context, _ *cluster, f flags) error {
	for name, fits := range files {
		text, err := os.ReadFile(filepath.Join(f["data"], name))
		if err != nil {
			return err
		}
		var file struct{ Vectors []vector }
		if err := json.Unmarshal(text, &file); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i, v := range file.Vectors {
			if !fits(v) {
				return fmt.Errorf("%s: vector %d %q does not fit", name, i, v.Name)
			}
		}
		say(object{"file": name, "checked": len(file.Vectors)})
	}
	return nil
}
