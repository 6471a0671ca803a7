package config

import (
	"reflect"
	"strings"
)

// Prefix begins the name of every variable that is a setting.
const Prefix = "SESSIONGATE_"

// Variables with the prefix that are not settings.
const (
	FileVariable    = Prefix + "CONFIG"   // the path of config.yaml
	DataDirVariable = Prefix + "DATA_DIR" // where `sessiongate dev` keeps its data
	urlVariable     = Prefix + "URL"      // written to dev.env, for scripts
)

// field is one setting: a place in a Config.
type field struct {
	key   string // "http.addr"
	value reflect.Value
}

// variable is the name of the setting in the environment.
func (f field) variable() string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// hidden says whether the value must not be shown. A hidden one may also come
// from a file of its own.
func (f field) hidden() bool {
	switch f.value.Interface().(type) {
	case Secret, []Client, []Webhook:
		return true
	}
	return false
}

// fields returns the settings in the order of the struct, as places to write to.
func (c *Config) fields() []field {
	var all []field
	top := reflect.ValueOf(c).Elem()
	for section, v := range top.Fields() {
		name := section.Tag.Get("koanf")
		switch {
		case name == "": // Dev
		case v.Kind() != reflect.Struct:
			all = append(all, field{name, v})
		default:
			for setting, v := range v.Fields() {
				all = append(all, field{name + "." + setting.Tag.Get("koanf"), v})
			}
		}
	}
	return all
}
