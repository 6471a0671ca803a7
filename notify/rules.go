package notify

import (
	"cmp"
	"slices"

	"github.com/sessiongate/sessiongate/session"
)

// Rules say who is told of which event.
type Rules struct {
	RiskAt   int // score from which on a sign-in, or a refresh, is told of
	Email    []session.NoticeKind
	Push     []session.NoticeKind
	Webhooks []WebhookRule
}

// WebhookRule says what a program is told of.
type WebhookRule struct {
	Name    string
	Kinds   []session.NoticeKind // empty: all
	Endings bool                 // endings only, whatever Kinds says
}

// Plan implements store.NoticeRules.
func (r *Rules) Plan(e *session.Event) (session.NoticePlan, bool) {
	kind := r.kindOf(e)
	if kind == "" {
		return session.NoticePlan{}, false
	}
	plan := session.NoticePlan{
		Kind: kind, Email: slices.Contains(r.Email, kind), Push: slices.Contains(r.Push, kind), Once: onceOf(kind, e),
	}
	for _, w := range r.Webhooks {
		if (len(w.Kinds) == 0 || slices.Contains(w.Kinds, kind)) && (!w.Endings || e.Ends != "") {
			plan.Webhooks = append(plan.Webhooks, w.Name)
		}
	}
	return plan, plan.Email || plan.Push || len(plan.Webhooks) > 0
}

// kindOf returns "" for what is nobody's concern.
func (r *Rules) kindOf(e *session.Event) session.NoticeKind {
	switch {
	case e.Ends != "":
		return session.NoticeKind(e.Ends)
	case e.UserID == "" || len(e.Risk.Signals) == 0 || e.Risk.Score < r.RiskAt:
		return ""
	case e.Action == session.ActionRefresh && e.Success: // somebody may have taken the token
		return session.NoticeSuspicious
	case e.Action != session.ActionLogin: // a refused refresh ends its session, and that is told of
		return ""
	case e.Success && slices.Equal(e.Risk.Signals, []string{string(session.NoticeNewDevice)}):
		return session.NoticeNewDevice
	}
	return session.NoticeSuspicious
}

// onceOf is the device, where the kind is about one: a password that is changed
// ends many sessions at once, and is told of once.
func onceOf(kind session.NoticeKind, e *session.Event) string {
	switch kind {
	case "password_changed", "logout_all", "user_disabled", "user_erased":
		return ""
	}
	return cmp.Or(e.Device.ID, e.Device.String()+"\x00"+e.Origin.UserAgent)
}
