package store

import (
	"embed"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// The scripts, one file each. redis.Script.Run sends EVALSHA and falls back to
// EVAL, so a SCRIPT FLUSH costs one extra round trip and nothing else.
var (
	sessionCreate  = script("session_create", "begin")
	sessionRefresh = script("session_refresh")
	sessionRevoke  = script("session_revoke")
	userRevoke     = script("user_revoke")
	grantResume    = script("grant_resume", "begin")
	grantEnd       = script("grant_end")
	eventAck       = script("event_ack")
	activityRecord = script("activity_record")
	activityClear  = script("activity_clear")
	partitionOpen  = script("partition_open")
	feedAppend     = script("feed_append")
	limitTake      = script("limit_take")
	limitForgive   = script("limit_forgive")
)

// script returns lua/<name>.lua with the prelude, and what else it shares with
// others, put behind its first line, which has to stay the first: it tells Redis the
// script's flags. It panics when a file is missing, at start-up.
func script(name string, shared ...string) *redis.Script {
	shebang, body, ok := strings.Cut(luaFile(name), "\n")
	if !ok || !strings.HasPrefix(shebang, "#!lua") {
		panic("store: lua/" + name + ".lua does not begin with #!lua")
	}
	var before strings.Builder
	before.WriteString(luaFile("prelude"))
	for _, s := range shared {
		before.WriteString(luaFile(s))
	}
	return redis.NewScript(shebang + "\n" + before.String() + body)
}

func luaFile(name string) string {
	b, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic("store: no script " + name)
	}
	return string(b)
}
