package command

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/sessiongate/sessiongate/notify"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

type noticesCommand struct {
	List  noticesListCommand  `cmd:"" help:"List what people and programs are told: sent, pending and parked."`
	Retry noticesRetryCommand `cmd:"" help:"Send parked notices after all."`
	VAPID noticesVAPIDCommand `cmd:"" name:"vapid" help:"Make a key for Web Push (notify.vapid_key)."`
}

type noticesListCommand struct {
	State string `help:"Only those that are pending, sent, parked or dropped." enum:",pending,sent,parked,dropped" default:""`
	Limit int    `default:"100" help:"At most so many, the latest first."`
}

func (c noticesListCommand) Run(ctx context.Context, in *invocation) error {
	if c.Limit < 1 {
		return fmt.Errorf("%w: --limit is %d, want at least 1", ErrUsage, c.Limit)
	}
	return in.withPostgres(func(db *store.Postgres) error {
		list, err := db.Notices(ctx, session.NoticeState(c.State), c.Limit)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tCREATED\tCHANNEL\tKIND\tUSER\tSTATE\tATTEMPTS\tNEXT\tERROR")
		for _, n := range list {
			next := "-"
			if n.State == session.NoticePending {
				next = n.DueAt.Format(time.RFC3339)
			}
			channel := string(n.Channel)
			if n.Channel == session.ChannelWebhook {
				channel = n.Lane()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", n.ID, n.CreatedAt.Format(time.RFC3339), channel, n.Kind,
				n.UserID, n.State, n.Attempt, next, dash(n.Error))
		}
		return w.Flush()
	})
}

type noticesRetryCommand struct {
	ID  string `arg:"" optional:"" name:"id" help:"The notice's id, as in notices list."`
	All bool   `help:"All that are parked."`
}

func (c noticesRetryCommand) Run(ctx context.Context, in *invocation) error {
	if (c.ID == "") != c.All {
		return fmt.Errorf("%w: want the id of a notice, or --all", ErrUsage)
	}
	return in.withPostgres(func(db *store.Postgres) error {
		n, err := db.RetryNotices(ctx, c.ID, time.Now())
		if err != nil {
			return err
		}
		if n == 0 && !c.All {
			return fmt.Errorf("no notice %s is parked", c.ID)
		}
		in.printf("Notices to be sent after all: %d.\n", n)
		return nil
	})
}

type noticesVAPIDCommand struct{}

// Run prints the private key alone on its line, for a file or a secret store.
func (noticesVAPIDCommand) Run(in *invocation) error {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("command: make a VAPID key: %w", err)
	}
	private := base64.RawURLEncoding.EncodeToString(key.Bytes())
	public, err := notify.VAPIDPublicKey(private)
	if err != nil {
		return err
	}
	in.printf("%s\n", private)
	fmt.Fprintf(in.Stderr, "The line above is notify.vapid_key. Browsers subscribe with %s, which "+
		"GET /sessions/push-subscriptions says as well.\n", public)
	return nil
}

func (in *invocation) withPostgres(do func(*store.Postgres) error) error {
	cfg, err := in.loadOnly("database")
	if err != nil {
		return err
	}
	db, err := openPostgres(cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}
