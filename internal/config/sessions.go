package config

import (
	"fmt"
	"time"
)

// lifetimes checks what sessions and each of their rules have alike. A limit that is nil
// is not set.
func (v *validator) lifetimes(prefix string, ttl time.Duration, idle, remember *time.Duration) {
	const century = 100 * 365 * 24 * time.Hour
	if idle != nil {
		v.check(*idle == 0 || *idle >= time.Second && *idle <= century && *idle%time.Second == 0, prefix+"idle_timeout", *idle,
			"0s for none, or whole seconds")
	}
	if remember != nil {
		v.check(*remember == 0 || *remember >= ttl && *remember <= century, prefix+"remember_lifetime", *remember,
			"0s to remember no device, or at least ttl (%s)", durationText(ttl))
	}
}

func (v *validator) sessionRule(i int, r SessionRule, ttl time.Duration) {
	key := fmt.Sprintf("sessions.rules[%d]", i)
	v.check(r.Client != "" || r.Role != "", key, r.Client, "a client or a role")
	v.check(r.Role == "" || roleName.MatchString(r.Role), key+".role", r.Role,
		"1 to 64 letters, digits, '.', '_', ':', '/', '@', '+' and '-'")
	v.checkHidden(r.TTL != nil || r.IdleTimeout != nil || r.AbsoluteLifetime != nil || r.RememberLifetime != nil, key,
		"ttl, idle_timeout, absolute_lifetime or remember_lifetime")
	if r.TTL != nil {
		ttl = *r.TTL
		v.duration(key+".ttl", ttl, time.Second, 24*time.Hour)
		v.check(ttl%time.Second == 0, key+".ttl", ttl, "whole seconds")
	}
	if r.AbsoluteLifetime != nil {
		v.check(*r.AbsoluteLifetime == 0 || *r.AbsoluteLifetime >= ttl, key+".absolute_lifetime", *r.AbsoluteLifetime,
			"0s for no limit, or at least ttl (%s)", durationText(ttl))
	}
	v.lifetimes(key+".", ttl, r.IdleTimeout, r.RememberLifetime)
}
