package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"

	pb "streamlog.example/client/streamlogv1"
)

const sessionTimeout = 10 * time.Second

// hold is a partition that the member owns, since a grant.
type hold struct {
	reader              *reader
	partition           uint32
	topicID, grant      uint64
	position, committed uint64
	stop                context.CancelFunc
}

// member of a group, over all its streams. Invariant: only `session` touches it.
type member struct {
	c                 *cluster
	topic, group      string
	id                string
	epoch             uint64
	assigned          uint32
	held              map[uint32]*hold
	parts             chan part
	failed            chan error
	closing           <-chan struct{}
	leaving, left     bool
	confirmed         time.Time // When the last heartbeat that was answered was sent.
	heartbeats        map[uint64]time.Time
	commits           map[uint64]map[uint32]uint64
	sequence, handled uint64
	records           int64
	stream            grpc.BidiStreamingClient[pb.MemberRequest, pb.MemberResponse]
}

func (m *member) send(request *pb.MemberRequest) error {
	if err := m.stream.Send(request); err != nil {
		_, err = m.stream.Recv() // Says why.
		return err
	}
	return nil
}

// session is one stream to the coordinator, from join to its end.
func (m *member) session(ctx context.Context) error {
	var coordinator string
	if err := m.c.any(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		found, err := pb.NewGroupServiceClient(conn).FindCoordinator(ctx,
			&pb.FindCoordinatorRequest{Group: m.group})
		if err == nil && found.LeaderAddress == "" {
			err = refusal{&pb.Error{Reason: "LEADER_NOT_AVAILABLE", Retriable: true}}
		}
		coordinator = found.GetLeaderAddress()
		return err
	}); err != nil {
		return err
	}
	conn, err := m.c.node(ctx, coordinator)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if m.stream, err = pb.NewGroupServiceClient(conn).Membership(ctx); err != nil {
		return err
	}
	joined := time.Now()
	m.heartbeats, m.commits = map[uint64]time.Time{}, map[uint64]map[uint32]uint64{}
	if err := m.send(&pb.MemberRequest{Request: &pb.MemberRequest_Join{Join: &pb.MemberJoin{
		Group: m.group, MemberId: m.id, Topics: []string{m.topic}, ClientId: "go", MemberEpoch: m.epoch,
		SessionTimeoutMs: uint32(sessionTimeout.Milliseconds())}}}); err != nil {
		return err
	}
	responses, ended := make(chan *pb.MemberResponse), make(chan error, 1)
	go func() {
		for {
			response, err := m.stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case responses <- response:
			case <-ctx.Done():
				return
			}
		}
	}()
	heartbeat, commit := time.NewTicker(sessionTimeout/6), time.NewTicker(100*time.Millisecond)
	defer heartbeat.Stop()
	defer commit.Stop()
	for {
		parts := m.parts
		if m.leaving || m.fenced() {
			parts = nil
		}
		select {
		case response := <-responses:
			if err := m.told(response, joined); err != nil {
				return err
			}
		case brought := <-parts:
			m.handle(brought)
		case <-heartbeat.C:
			m.sequence++
			m.heartbeats[m.sequence] = time.Now()
			if err := m.send(&pb.MemberRequest{Request: &pb.MemberRequest_Heartbeat{
				Heartbeat: &pb.MemberHeartbeat{Sequence: m.sequence, MemberEpoch: m.epoch,
					AssignedCount: m.assigned, HandledCount: m.handled}}}); err != nil {
				return err
			}
		case <-commit.C:
			m.handled++ // It looked, and is alive.
			if err := m.commit(m.held); err != nil {
				return err
			}
		case <-m.closing:
			m.leaving, m.closing = true, nil
		case err := <-m.failed:
			return err
		case err := <-ended:
			if err == io.EOF && m.left {
				return nil
			}
			return err
		}
		if m.leaving && !m.left && m.epoch > 0 && m.allCommitted() {
			m.left = true
			if err := m.send(&pb.MemberRequest{Request: &pb.MemberRequest_Leave{
				Leave: &pb.MemberLeave{}}}); err != nil {
				return err
			}
		}
	}
}

// fenced: somebody else may own what this member holds.
func (m *member) fenced() bool { return time.Since(m.confirmed) > sessionTimeout }

// handle hands out records, and looks at the clock before each of them.
func (m *member) handle(brought part) {
	h := m.held[brought.by.partition]
	if h == nil || h.reader != brought.by {
		return // Read for a grant that ended.
	}
	for _, r := range brought.records {
		if m.fenced() {
			m.read(h) // What is left comes again, and is handed out if it is still held then.
			return
		}
		show([]stored{r})
		h.position = r.offset + 1
		m.records++
		m.handled++
	}
	h.position = brought.next
}

// read begins to read what is held, from its position on; who read it before stops.
func (m *member) read(h *hold) {
	if h.stop != nil {
		h.stop()
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &reader{m.topic, h.partition, h.position, m.parts}
	h.reader, h.stop = r, stop
	go func() {
		err := r.run(ctx, m.c)
		select {
		case m.failed <- err:
		case <-ctx.Done():
		}
	}()
}

func (m *member) told(response *pb.MemberResponse, joined time.Time) error {
	switch {
	case response.GetAssignment() != nil:
		if m.confirmed.Before(joined) {
			m.confirmed = joined
		}
		return m.take(response.GetAssignment())
	case response.GetHeartbeat() != nil:
		sequence := response.GetHeartbeat().Sequence
		if sent, ok := m.heartbeats[sequence]; ok && sent.After(m.confirmed) {
			m.confirmed = sent
		}
		delete(m.heartbeats, sequence)
	case response.GetCommit() != nil:
		answer := response.GetCommit()
		offsets := m.commits[answer.Sequence]
		delete(m.commits, answer.Sequence)
		if answer.Error != nil {
			return nil // The newest positions are sent again, if the partitions are still held.
		}
		for partition, offset := range offsets {
			if h := m.held[partition]; h != nil {
				h.committed = max(h.committed, offset)
			}
		}
		say(object{"committed": offsets})
	case response.GetError() != nil:
		fmt.Fprintln(os.Stderr, refusal{response.GetError()})
	}
	return nil
}

// take compares what the member owns with what it holds.
func (m *member) take(a *pb.MemberAssignment) error {
	revoked, revoking := []uint32{}, map[uint32]*hold{}
	for _, p := range a.Revoking {
		revoked = append(revoked, p.Partition)
		if h := m.held[p.Partition]; h != nil {
			revoking[p.Partition] = h
		}
	}
	// At the epoch at which the positions were taken: if one was reset since, and granted anew, this
	// must not undo it.
	if err := m.commit(revoking); err != nil {
		return err
	}
	owned, numbers := map[uint32]uint64{}, []uint32{}
	m.epoch, m.assigned = a.MemberEpoch, uint32(len(a.Assigned))
	for _, p := range a.Assigned {
		owned[p.Partition] = p.GrantEpoch
		numbers = append(numbers, p.Partition)
	}
	for partition, h := range m.held {
		if grant, ok := owned[partition]; !ok || grant != h.grant {
			m.drop(partition) // Given up, or lost: then without a commit.
		}
	}
	for _, p := range a.Assigned {
		if m.held[p.Partition] == nil {
			from := p.Committed.GetOffset()
			h := &hold{partition: p.Partition, topicID: p.TopicId, grant: p.GrantEpoch,
				position: from, committed: from}
			m.held[p.Partition] = h
			m.read(h)
		}
	}
	say(object{"assigned": numbers, "epoch": a.MemberEpoch})
	if len(revoked) == 0 {
		return nil
	}
	say(object{"revoked": revoked})
	// The commit was sent before it, so it is judged before it.
	return m.send(&pb.MemberRequest{Request: &pb.MemberRequest_Acknowledge{
		Acknowledge: &pb.MemberAcknowledge{MemberEpoch: a.MemberEpoch, Revoked: a.Revoking}}})
}

func (m *member) drop(partition uint32) {
	if h := m.held[partition]; h != nil {
		h.stop()
		delete(m.held, partition)
	}
}

// commit sends the positions that moved. Until the next assignment whatever is held is held at the
// member's epoch, so that is the one to name.
func (m *member) commit(held map[uint32]*hold) error {
	offsets := map[uint32]uint64{}
	var positions []*pb.GroupOffset
	for partition, h := range held {
		if h.position != h.committed {
			offsets[partition] = h.position
			positions = append(positions,
				&pb.GroupOffset{TopicId: h.topicID, Partition: partition, Offset: h.position})
		}
	}
	if len(positions) == 0 || m.fenced() {
		return nil
	}
	m.sequence++
	m.commits[m.sequence] = offsets
	return m.send(&pb.MemberRequest{Request: &pb.MemberRequest_Commit{
		Commit: &pb.MemberCommit{Sequence: m.sequence, MemberEpoch: m.epoch, Offsets: positions}}})
}

func (m *member) allCommitted() bool {
	for _, h := range m.held {
		if h.position != h.committed {
			return false
		}
	}
	return true
}

func group(ctx context.Context, c *cluster, f flags) error {
	closing := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(closing)
	}()
	m := &member{c: c, topic: f["topic"], group: f["group"], id: rand.Text(), held: map[uint32]*hold{},
		parts: make(chan part), failed: make(chan error), closing: closing}
	begun := time.Now()
	err := patiently(ctx, func(ctx context.Context, progress func()) error {
		err := m.session(ctx)
		if err == nil {
			return nil
		}
		say(object{"rejoining": reasonOf(err)})
		switch reasonOf(err) {
		case "UNKNOWN_MEMBER", "STALE_MEMBER_EPOCH":
			if m.left {
				return nil // It left, and the answer was lost.
			}
			for partition := range m.held {
				m.drop(partition)
			}
			m.id, m.epoch = rand.Text(), 0
			return context.DeadlineExceeded // Another member, but the same work.
		}
		m.left = false
		return err
	})
	if err != nil {
		return err
	}
	seconds := time.Since(begun).Seconds()
	say(object{"result": "group", "records": m.records, "seconds": seconds,
		"per_second": float64(m.records) / seconds})
	return nil
}
