package store

import (
	"strconv"

	"github.com/sessiongate/sessiongate/session"
)

// What the names of keys go on with behind the tag.
const (
	sessionKind   = "session:"
	userKind      = "user:"
	seenKind      = "seen:"
	heartbeatKind = "heartbeat:"
)

// keyspace spells every key the gateway owns; nothing else writes a key name.
// doc.go says what each holds and for how long.
//
// All keys of a user carry the hash tag of the user's partition, so that one
// script may change session, index and events together on Redis Cluster, too.
type keyspace struct {
	root string   // "sg"; tests use one each
	tags []string // by partition: "sg:{0}:"
}

func newKeyspace(root string, partitions int) keyspace {
	k := keyspace{root: root, tags: make([]string, partitions)}
	for p := range k.tags {
		k.tags[p] = root + ":{" + strconv.Itoa(p) + "}:"
	}
	return k
}

// partition returns where the keys of the user are: CRC16 of the whole id, as
// CLUSTER KEYSLOT computes it for an id without braces, modulo the partitions.
func (k keyspace) partition(userID string) int { return int(crc16(userID)) & (len(k.tags) - 1) }

func (k keyspace) tag(userID string) string { return k.tags[k.partition(userID)] }

func (k keyspace) session(userID string, sid session.ID) string {
	return k.tag(userID) + sessionKind + string(sid)
}

func (k keyspace) user(userID string) string { return k.tag(userID) + userKind + userID }

func (k keyspace) seen(userID string) string { return k.tag(userID) + seenKind + userID }

func (k keyspace) grant(partition int, id session.ID) string {
	return k.tags[partition] + "grant:" + string(id)
}

func (k keyspace) op(userID string, id session.EventID) string {
	return k.tag(userID) + "op:" + string(id)
}

func (k keyspace) text(partition int, digest string) string {
	return k.tags[partition] + "text:" + digest
}

func (k keyspace) events(partition int) string { return k.tags[partition] + "events" }

func (k keyspace) failures(partition int) string { return k.tags[partition] + "failures" }

func (k keyspace) feed(partition int) string { return k.tags[partition] + "feed" }

func (k keyspace) activity(partition int) string { return k.tags[partition] + "activity" }

func (k keyspace) partitionMeta(partition int) string { return k.tags[partition] + "meta" }

func (k keyspace) meta() string { return k.root + ":meta" }

func (k keyspace) signingKeys() string { return k.root + ":keys" }

// UserKeys are the names of the keys that concern one user, for whoever looks at
// Redis by hand.
type UserKeys struct {
	Partition int
	User      string // DEL it to log the user out everywhere
	Seen      string
	Sessions  string // prefix; append a sid
	Grants    string // prefix; append the id of a remembered device
	Events    string
	Activity  string
	Feed      string
}

// KeysOf returns the names of a user's keys in a deployment with the given
// number of partitions. It asks nobody.
func KeysOf(userID string, partitions int) UserKeys {
	k := newKeyspace(DefaultPrefix, partitions)
	p := k.partition(userID)
	return UserKeys{
		Partition: p,
		User:      k.user(userID),
		Seen:      k.seen(userID),
		Sessions:  k.session(userID, ""),
		Grants:    k.grant(p, ""),
		Events:    k.events(p),
		Activity:  k.activity(p),
		Feed:      k.feed(p),
	}
}

// crc16 is the checksum of Redis Cluster's key slots: CRC-16/XMODEM.
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc = crc<<8 ^ crc16Table[byte(crc>>8)^s[i]]
	}
	return crc
}

var crc16Table = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		t[i] = crc
	}
	return t
}()
