package command

import (
	"fmt"
	"text/tabwriter"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// keysCommand is about two kinds of keys. Printing those of a user in Redis is the
// older one, so `keys <user id>` means that.
type keysCommand struct {
	Redis  keysRedisCommand  `cmd:"" default:"withargs" help:"Print the names of a user's keys in Redis. The word redis may be left out."`
	List   keysListCommand   `cmd:"" help:"List the keys that tokens are signed with."`
	Rotate keysRotateCommand `cmd:"" help:"Publish the next signing key, before it is due."`
	Reseal keysResealCommand `cmd:"" help:"Seal the signing keys anew, so that old_sealing_keys are not needed any more."`
	Retire keysRetireCommand `cmd:"" help:"End a signing key that somebody else has: its tokens are refused."`
}

type keysRedisCommand struct {
	User string `arg:"" name:"user-id" help:"The user's id, as in the sub claim."`
}

// Run asks nobody: names follow from the id and the number of partitions.
func (k keysRedisCommand) Run(in *invocation) error {
	if err := session.CheckUserID(k.User); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	cfg, err := in.loadOnly("redis.partitions")
	if err != nil {
		return err
	}
	keys := store.KeysOf(k.User, cfg.Redis.Partitions)
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range [][3]string{
		{"user", keys.User, "zset: sid and expiry (ms) of each session, g:<id> of each remembered device"},
		{"session", keys.Sessions + "<sid>", "hash: one session"},
		{"grant", keys.Grants + "<id>", "hash: one remembered device"},
		{"seen", keys.Seen, "hash: sid and when it was last used (ms)"},
		{"events", keys.Events, "stream: audit events on their way to Postgres"},
		{"activity", keys.Activity, "zset: last activity on its way to Postgres"},
		{"feed", keys.Feed, "stream: endings, for GET /revocations"},
	} {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	in.printf(`
Partition %d of %d. In a shell:

  redis-cli ZRANGE %[3]s 0 -1 WITHSCORES   # the user's sessions
  redis-cli DEL %[3]s                      # log the user out everywhere
  redis-cli ZREM %[3]s <sid>               # log one device out, and forget it
`, keys.Partition, cfg.Redis.Partitions, quote(keys.User))
	return nil
}
