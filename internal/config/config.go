// Package config reads the settings of the gateway: defaults, overridden by
// config.yaml, overridden by the environment. The setting a.b_c of the file is
// the variable SESSIONGATE_A_B_C; for a secret, SESSIONGATE_A_B_C_FILE names a
// file that holds it.
//
// A Config that Load returned is complete and valid, so that nothing after it
// has to check or default a setting. Whatever is wrong is reported at once: an
// unknown key is as wrong as a bad value, since it is a setting that somebody
// believes to be in force.
//
// config.yaml at the root of the repository is the reference: every key with its
// default, unit and reason. A test holds it and Default together.
package config

import "time"

// Config is the whole configuration. The zero value is not usable: start from
// Default.
type Config struct {
	// Dev is set by `sessiongate dev` and can't be configured. It allows weak
	// secrets and refuses to listen on anything but loopback.
	Dev bool

	HTTP      HTTP      `koanf:"http"`
	Redis     Redis     `koanf:"redis"`
	Database  Database  `koanf:"database"`
	Tokens    Tokens    `koanf:"tokens"`
	Sessions  Sessions  `koanf:"sessions"`
	Passwords Passwords `koanf:"passwords"`
	Limits    Limits    `koanf:"limits"`
	Browser   Browser   `koanf:"browser"`

	SessionCache string `koanf:"session_cache"` // "" or CacheTracking

	Audit       Audit       `koanf:"audit"`
	Clients     []Client    `koanf:"clients"`
	Feed        Feed        `koanf:"feed"`
	ForwardAuth ForwardAuth `koanf:"forward_auth"`
	Geo         Geo         `koanf:"geo"`
	Risk        Risk        `koanf:"risk"`
	Notify      Notify      `koanf:"notify"`
	Jobs        Jobs        `koanf:"jobs"`
	Admin       Admin       `koanf:"admin"`
	Log         Log         `koanf:"log"`
}

// CacheTracking is the session_cache that Redis keeps up to date.
const CacheTracking = "tracking"

// HTTP is the listener and its limits.
type HTTP struct {
	Addr              string        `koanf:"addr"`
	PublicURL         string        `koanf:"public_url"`      // as clients see it; "": the issuer's, or addr
	TrustedProxies    []string      `koanf:"trusted_proxies"` // addresses or CIDR; whose X-Forwarded-For is believed
	ReadHeaderTimeout time.Duration `koanf:"read_header_timeout"`
	RequestTimeout    time.Duration `koanf:"request_timeout"`
	IdleTimeout       time.Duration `koanf:"idle_timeout"`
	MaxBodyBytes      int           `koanf:"max_body_bytes"`
	MaxHeaderBytes    int           `koanf:"max_header_bytes"`
	ShutdownTimeout   time.Duration `koanf:"shutdown_timeout"`
	DrainDelay        time.Duration `koanf:"drain_delay"` // unready but still serving, before shutdown
}

// Redis is where the live sessions are.
type Redis struct {
	URL        Secret        `koanf:"url"`
	Timeout    time.Duration `koanf:"timeout"`   // of one command, whole round trip
	PoolSize   int           `koanf:"pool_size"` // 0: 10 × cores
	Partitions int           `koanf:"partitions"`
}

// Database is the Postgres that keeps what happened.
type Database struct {
	URL              Secret        `koanf:"url"`
	MaxConns         int           `koanf:"max_conns"`
	StatementTimeout time.Duration `koanf:"statement_timeout"`
	Migrate          bool          `koanf:"migrate"` // at start
}

// The algorithms that tokens can be signed with.
const (
	HS256 = "HS256"
	EdDSA = "EdDSA"
	ES256 = "ES256"
	RS256 = "RS256"
)

// Where the keys come from.
const (
	KeysStatic  = "static"  // tokens.secret or tokens.private_key
	KeysManaged = "managed" // made and rotated by the gateways, kept in the stores
)

// Tokens is how access tokens are signed and checked.
type Tokens struct {
	Algorithm  string `koanf:"algorithm"`
	Secret     Secret `koanf:"secret"`      // of HS256, used as it stands
	PrivateKey Secret `koanf:"private_key"` // of the other algorithms: PKCS#8, PEM
	OtherKeys  Secret `koanf:"other_keys"`  // verify and don't sign; see tokens.ParseKeys
	Keyring    string `koanf:"keyring"`     // a directory, in place of the three above; see tokens.ReadKeyFiles

	Keys         string        `koanf:"keys"`             // KeysStatic or KeysManaged
	SealingKey   Secret        `koanf:"sealing_key"`      // of managed keys
	OldSealing   Secret        `koanf:"old_sealing_keys"` // that only open; separated by white space
	KMSURL       string        `koanf:"kms_url"`          // Vault's transit engine seals; "": SealingKey does
	KMSKey       string        `koanf:"kms_key"`          // the name of the key there
	KMSToken     Secret        `koanf:"kms_token"`
	RotateEvery  time.Duration `koanf:"rotate_every"`  // how long a managed key signs
	PublishAhead time.Duration `koanf:"publish_ahead"` // before it signs
	Reload       time.Duration `koanf:"reload"`        // whole seconds

	Issuer    string        `koanf:"issuer"`   // iss
	Audience  string        `koanf:"audience"` // aud
	Leeway    time.Duration `koanf:"leeway"`
	CacheSize int           `koanf:"cache_size"` // verified signatures; 0: none
}

// Sessions is how long sessions live.
type Sessions struct {
	TTL              time.Duration `koanf:"ttl"`
	RefreshAfter     time.Duration `koanf:"refresh_after"`
	RefreshJitter    float64       `koanf:"refresh_jitter"` // share of refresh_after, 0 to 0.5
	Grace            time.Duration `koanf:"grace"`
	IdleTimeout      time.Duration `koanf:"idle_timeout"`      // 0: none
	AbsoluteLifetime time.Duration `koanf:"absolute_lifetime"` // 0: no limit
	RememberLifetime time.Duration `koanf:"remember_lifetime"` // 0: no device is remembered
	MaxPerUser       int           `koanf:"max_per_user"`
	OnLimit          string        `koanf:"on_limit"` // LimitEvict or LimitDeny
	Rules            []SessionRule `koanf:"rules"`
}

// What happens to a login beyond sessions.max_per_user.
const (
	LimitEvict = "evict_oldest"
	LimitDeny  = "deny"
)

// SessionRule is what differs for the sessions of a client, of users with a role, or
// of both. What is nil does not differ.
type SessionRule struct {
	Client           string         `koanf:"client" json:"client,omitempty"`
	Role             string         `koanf:"role" json:"role,omitempty"`
	TTL              *time.Duration `koanf:"ttl" json:"ttl,omitempty"`
	IdleTimeout      *time.Duration `koanf:"idle_timeout" json:"idle_timeout,omitempty"`
	AbsoluteLifetime *time.Duration `koanf:"absolute_lifetime" json:"absolute_lifetime,omitempty"`
	RememberLifetime *time.Duration `koanf:"remember_lifetime" json:"remember_lifetime,omitempty"`
}

// Passwords is the cost of argon2id and how much of it may run at once.
type Passwords struct {
	MemoryKiB   int           `koanf:"memory_kib"`
	Iterations  int           `koanf:"iterations"`
	Parallelism int           `koanf:"parallelism"`
	Concurrency int           `koanf:"concurrency"` // 0: cores less one, at least one
	MaxWait     time.Duration `koanf:"max_wait"`
}

// Audit is about what goes into the audit log.
type Audit struct {
	FingerprintKey Secret `koanf:"fingerprint_key"` // of session_token
}

// What a client may do.
const (
	AllowIntrospect = "introspect" // POST /oauth2/introspect
	AllowSessions   = "sessions"   // POST /sessions
	AllowRevoke     = "revoke"     // POST /oauth2/revoke
	AllowFeed       = "feed"       // GET /revocations
)

// allowed is all that a client may be allowed.
var allowed = []string{AllowIntrospect, AllowSessions, AllowRevoke, AllowFeed}

// Client is a program that calls the gateway with credentials of its own
// (RFC 6749 §2.3.1).
type Client struct {
	ID            string   `koanf:"id"`
	SecretsSHA256 []string `koanf:"secrets_sha256"` // hex; any of them is accepted
	Allow         []string `koanf:"allow"`          // AllowIntrospect, …
	Scopes        []string `koanf:"scopes"`         // those it may see; empty: all
	Passive       bool     `koanf:"activity"`       // activity: false; its questions are no use of the session
}

// The sets of headers in which forward-auth says who somebody is.
const (
	HeadersOwn         = "own"
	HeadersOAuth2Proxy = "oauth2-proxy"
	HeadersAuthelia    = "authelia"
)

// ForwardAuth is how gateways in front are answered that ask about each request.
type ForwardAuth struct {
	Headers       string        `koanf:"headers"`
	Cookie        string        `koanf:"cookie"`         // "": none
	LoginURL      string        `koanf:"login_url"`      // "": nobody is redirected
	RedirectHosts []string      `koanf:"redirect_hosts"` // host or host:port
	Policies      []RoutePolicy `koanf:"policies"`
	GRPCAddr      string        `koanf:"grpc_addr"` // of Envoy's interface; "": off
}

// RoutePolicy is what somebody must have to be let through to some routes: all of
// the scopes and all of the roles.
type RoutePolicy struct {
	Name   string   `koanf:"name" json:"name"`
	Scopes []string `koanf:"scopes" json:"scopes,omitempty"`
	Roles  []string `koanf:"roles" json:"roles,omitempty"`
}

// Feed is the feed of revocations.
type Feed struct {
	MaxEntries int           `koanf:"max_entries"` // that Redis keeps, by partition
	MaxReaders int           `koanf:"max_readers"` // of one gateway
	Heartbeat  time.Duration `koanf:"heartbeat"`   // of an event stream
}

// Notify is who is told of what, and how.
type Notify struct {
	Secret        Secret        `koanf:"secret"`     // of links and of what is sealed; "": nobody is told anything
	AppName       string        `koanf:"app_name"`   // in messages
	PublicURL     string        `koanf:"public_url"` // of links; "": http.public_url
	Email         []string      `koanf:"email"`      // kinds
	Push          []string      `koanf:"push"`       // kinds
	RepeatAfter   time.Duration `koanf:"repeat_after"`
	LinkLifetime  time.Duration `koanf:"link_lifetime"`
	SMTPURL       Secret        `koanf:"smtp_url"`
	SMTPFrom      string        `koanf:"smtp_from"`
	Webhooks      []Webhook     `koanf:"webhooks"`
	VAPIDKey      Secret        `koanf:"vapid_key"`
	VAPIDSubject  string        `koanf:"vapid_subject"`
	PushHosts     []string      `koanf:"push_hosts"`
	FCMAccount    Secret        `koanf:"fcm_service_account"`
	FCMURL        string        `koanf:"fcm_url"`
	AllowNetworks []string      `koanf:"allow_networks"` // that may be reached although they are private
	AllowHTTP     bool          `koanf:"allow_http"`
	Timeout       time.Duration `koanf:"timeout"` // of one attempt
	MaxAttempts   int           `koanf:"max_attempts"`
	Keep          time.Duration `koanf:"keep"`
}

// The forms in which a webhook is told.
const (
	FormatStandard = "standard" // Standard Webhooks, JSON
	FormatCAEP     = "caep"     // security event tokens (RFC 8417), endings only
)

// Webhook is a program that is told.
type Webhook struct {
	Name    string   `koanf:"name"`
	URL     string   `koanf:"url"`
	Secrets []string `koanf:"secrets"` // whsec_…; each makes a signature
	Kinds   []string `koanf:"kinds"`   // empty: all
	Format  string   `koanf:"format"`  // FormatStandard or FormatCAEP
}

// Jobs is when the background work runs. Schedules are as in cron(8), or
// "@every 10s".
type Jobs struct {
	Flush               string        `koanf:"flush"`
	FlushBatch          int           `koanf:"flush_batch"`
	Activity            string        `koanf:"activity"`
	Sweep               string        `koanf:"sweep"`
	Reconcile           string        `koanf:"reconcile"`
	ReconcileMaxMissing float64       `koanf:"reconcile_max_missing"` // share of a pass, above 0 to 1
	Partitions          string        `koanf:"partitions"`
	Retention           time.Duration `koanf:"retention"` // 0: kept for ever
	ClaimIdle           time.Duration `koanf:"claim_idle"`
	Notices             string        `koanf:"notices"`
}

// Admin is what only the operators of this machine may reach.
type Admin struct {
	PprofAddr string `koanf:"pprof_addr"` // of net/http/pprof; "": off
}

// Log is the gateway's own log.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // json, text
}

// Default returns the settings that config.yaml documents. They are complete but
// for what must differ from one deployment to the next: redis.url, database.url
// and the secrets.
func Default() Config {
	return Config{
		HTTP: HTTP{
			Addr:              "127.0.0.1:8080",
			TrustedProxies:    []string{},
			ReadHeaderTimeout: 5 * time.Second,
			RequestTimeout:    5 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxBodyBytes:      64 << 10,
			MaxHeaderBytes:    16 << 10,
			ShutdownTimeout:   20 * time.Second,
		},
		Redis:    Redis{Timeout: 200 * time.Millisecond, Partitions: 1},
		Database: Database{MaxConns: 8, StatementTimeout: 5 * time.Second, Migrate: true},
		Tokens: Tokens{
			Algorithm:    HS256,
			Keys:         KeysStatic,
			RotateEvery:  720 * time.Hour,
			PublishAhead: time.Hour,
			Reload:       30 * time.Second,
			Issuer:       "sessiongate",
			Audience:     "sessiongate",
			Leeway:       5 * time.Second,
			CacheSize:    65536,
			KMSKey:       "sessiongate",
		},
		Sessions: Sessions{
			TTL:              30 * time.Minute,
			RefreshAfter:     25 * time.Minute,
			RefreshJitter:    0.05,
			Grace:            30 * time.Second,
			AbsoluteLifetime: 720 * time.Hour,
			RememberLifetime: 720 * time.Hour,
			MaxPerUser:       100,
			OnLimit:          LimitEvict,
			Rules:            []SessionRule{},
		},
		Passwords: Passwords{MemoryKiB: 19456, Iterations: 2, Parallelism: 1, MaxWait: 2 * time.Second},
		Limits: Limits{
			KnownBurst: 20, KnownEvery: time.Minute,
			AccountBurst: 10, AccountEvery: time.Minute,
			PrefixBurst: 100, PrefixEvery: 5 * time.Second,
			GlobalBurst: 2000, GlobalEvery: 20 * time.Millisecond,
			PrefixIPv4: 24, PrefixIPv6: 64,
			Remember: 2160 * time.Hour,
		},
		Browser: Browser{SameSite: SameSiteLax, CORSOrigins: []string{}},
		Clients: []Client{},
		Feed:    Feed{MaxEntries: 100_000, MaxReaders: 10_000, Heartbeat: 15 * time.Second},
		ForwardAuth: ForwardAuth{
			Headers:       HeadersOwn,
			Cookie:        "__Host-session",
			RedirectHosts: []string{},
			Policies:      []RoutePolicy{},
		},
		Geo:  Geo{Files: []string{}, Reload: 5 * time.Minute},
		Risk: defaultRisk(),
		Notify: Notify{
			AppName: "sessiongate",
			Email: []string{
				"new_device", "suspicious_login", "refresh_reused", "suspicious", "password_changed", "user_disabled",
			},
			Push: []string{
				"new_device", "suspicious_login", "refresh_reused", "suspicious", "password_changed", "user_disabled",
			},
			RepeatAfter:  24 * time.Hour,
			LinkLifetime: 72 * time.Hour,
			Webhooks:     []Webhook{},
			PushHosts: []string{
				"fcm.googleapis.com", "updates.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com",
			},
			FCMURL:        "https://fcm.googleapis.com",
			AllowNetworks: []string{},
			Timeout:       10 * time.Second,
			MaxAttempts:   20,
			Keep:          720 * time.Hour,
		},
		Jobs: Jobs{
			Flush:               "@every 1s",
			FlushBatch:          1000,
			Activity:            "@every 1s",
			Sweep:               "@every 10s",
			Reconcile:           "@every 30s",
			ReconcileMaxMissing: 0.5,
			Partitions:          "5 3 * * *",
			ClaimIdle:           15 * time.Second,
			Notices:             "@every 1s",
		},
		Log: Log{Level: "info", Format: "json"},
	}
}

// Secret is a setting that must not be shown. Printing it, in whatever way,
// shows only whether it is set; string(s) is the value.
type Secret string

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value from encoders, slog among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
