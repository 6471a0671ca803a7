package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	t.Parallel()
	cfg, err := Load(reference, complete(
		"SESSIONGATE_DATABASE_URL=postgres://app:hunter3hunter3@db.internal/app?password=hunter7",
		`SESSIONGATE_CLIENTS=[{"id":"gw","secrets_sha256":["`+digest+`"],"allow":["introspect","sessions"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Audit.FingerprintKey = "scheme://" + goodKey // looks like a URL, is none
	var out bytes.Buffer
	if err := cfg.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter", goodSecret, goodKey, digest} {
		for how, text := range map[string]string{"Print": out.String(), "%+v": fmt.Sprintf("%+v %#v", cfg.Redis, cfg.Tokens)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s:\n%s", how, secret, text)
			}
		}
	}
	for _, want := range []string{"cache.internal:6379", "ttl: 30m\n", "absolute_lifetime: 720h\n", "allow: [introspect, sessions]"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if _, err := Read(write(t, out.String()), nil); err != nil {
		t.Errorf("what Print writes can't be read: %v", err)
	}
}

func TestPrintOfTheDefaultsIsTheReference(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Default().Print(&out); err != nil {
		t.Fatal(err)
	}
	cfg, err := Read(write(t, out.String()), nil)
	if err != nil || !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("%v\n%s", err, out.String())
	}
}
