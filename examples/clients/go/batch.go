package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	pb "streamlog.example/client/streamlogv1"
)

// Bits of format_and_flags.
const (
	formatVersion = 1
	codecNone     = 1 << 8
	codecZstd     = 2 << 8
	appendTime    = 1 << 12
	control       = 1 << 13
	hasProducer   = 1 << 15
	deleteHorizon = 1 << 17
	encrypted     = 1 << 18

	// Smaller sets gain nothing, and the zstd library leaves the content size out of their frames.
	compressFrom    = 256
	payloadBytesMax = 64 << 20
	sequences       = 1 << 31
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	zipper, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	unzipper, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(payloadBytesMax),
		zstd.WithDecoderMaxWindow(8<<20))
)

// packed is what the checksum covers before the payload.
func packed(b *pb.RecordBatch) []byte {
	flags, last := b.FormatAndFlags&^(appendTime|deleteHorizon), b.MaxTimestampMs
	if b.FormatAndFlags&appendTime != 0 {
		last = 0
	}
	var out []byte
	for _, v := range []uint32{flags, b.Partition, b.LastOffsetDelta, b.RecordCount} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	for _, v := range []uint64{uint64(b.FirstTimestampMs), uint64(last), b.ProducerId} {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	for _, v := range []uint32{b.ProducerEpoch, b.BaseSequence, b.SchemaId, b.RoutingEpoch,
		b.EncryptionKeyId, b.UncompressedBytes} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	return out
}

func checksum(b *pb.RecordBatch) uint32 {
	return crc32.Update(crc32.Checksum(packed(b), castagnoli), castagnoli, b.Payload)
}

// newBatch makes a batch of records whose deltas count from firstMs.
func newBatch(records []*pb.Record, firstMs int64, into *partition) (*pb.RecordBatch, error) {
	last := records[0].TimestampDeltaMs
	for i, r := range records {
		r.OffsetDelta = uint32(i)
		last = max(last, r.TimestampDeltaMs)
	}
	plain, err := proto.Marshal(&pb.RecordSet{Records: records})
	if err != nil {
		return nil, err
	}
	b := &pb.RecordBatch{
		FormatAndFlags:    formatVersion | codecNone | hasProducer,
		Partition:         into.number,
		LastOffsetDelta:   uint32(len(records) - 1),
		RecordCount:       uint32(len(records)),
		FirstTimestampMs:  firstMs,
		MaxTimestampMs:    firstMs + last,
		ProducerId:        into.producer.ProducerId,
		ProducerEpoch:     into.producer.ProducerEpoch,
		BaseSequence:      into.sequence,
		RoutingEpoch:      into.routingEpoch,
		UncompressedBytes: uint32(len(plain)),
		Payload:           plain,
	}
	if len(plain) >= compressFrom {
		b.FormatAndFlags = formatVersion | codecZstd | hasProducer
		b.Payload = zipper.EncodeAll(plain, nil)
	}
	b.PayloadCrc32C = checksum(b)
	into.sequence = (into.sequence + b.RecordCount) % sequences
	return b, nil
}

// plainPayload is the serialized RecordSet; nothing of a batch is believed before its checksum.
func plainPayload(b *pb.RecordBatch) ([]byte, error) {
	switch {
	case b.FormatAndFlags&0xff > formatVersion || b.FormatAndFlags&encrypted != 0:
		return nil, fmt.Errorf("format %#x is newer than this client", b.FormatAndFlags)
	case checksum(b) != b.PayloadCrc32C:
		return nil, fmt.Errorf("the batch at offset %d fails its checksum", b.BaseOffset)
	case b.UncompressedBytes > payloadBytesMax:
		return nil, fmt.Errorf("a payload of %d bytes", b.UncompressedBytes)
	case b.FormatAndFlags&0xf00 == codecNone:
		return b.Payload, nil
	}
	plain, err := unzipper.DecodeAll(b.Payload, make([]byte, 0, b.UncompressedBytes))
	if err == nil && len(plain) != int(b.UncompressedBytes) {
		err = fmt.Errorf("a payload of %d bytes instead of %d", len(plain), b.UncompressedBytes)
	}
	return plain, err
}

// stored is a record as a consumer sees it.
type stored struct {
	partition uint32
	offset    uint64
	timeMs    int64
	*pb.Record
}

// read appends the records of a batch from an offset on.
func read(to []stored, b *pb.RecordBatch, from uint64) ([]stored, error) {
	if b.FormatAndFlags&control != 0 {
		return to, nil
	}
	plain, err := plainPayload(b)
	if err != nil {
		return nil, err
	}
	var set pb.RecordSet
	if err := proto.Unmarshal(plain, &set); err != nil {
		return nil, err
	}
	for _, r := range set.Records {
		offset, timeMs := b.BaseOffset+uint64(r.OffsetDelta), b.FirstTimestampMs+r.TimestampDeltaMs
		if b.FormatAndFlags&appendTime != 0 {
			timeMs = b.MaxTimestampMs
		}
		if offset >= from {
			to = append(to, stored{b.Partition, offset, timeMs, r})
		}
	}
	return to, nil
}
