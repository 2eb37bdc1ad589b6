package mq

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

// all has every field set.
func all() (r Requirements) {
	v := reflect.ValueOf(&r).Elem()
	for _, field := range v.Fields() {
		field.SetBool(true)
	}
	return r
}

// A provider that lacks something is refused with all that it lacks.
func TestRequire(t *testing.T) {
	r := reflect.TypeFor[Requirements]()
	for i := range r.NumField() {
		name := r.Field(i).Name
		var one Requirements
		reflect.ValueOf(&one).Elem().Field(i).SetBool(true)
		err := one.check(new(fake))
		if !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), " lacks "+name+" of ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := all().check(new(fake))
	for field := range r.Fields() {
		if !strings.Contains(err.Error(), field.Name) {
			t.Errorf("%v does not name %s", err, field.Name)
		}
	}
	if err := (Requirements{Delay: true, Move: true}).check(&fake{caps: capable}); err != nil {
		t.Error(err)
	}
	if err := (Requirements{}).check(new(fake)); err != nil {
		t.Error(err)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, ErrNotSupported) {
			t.Errorf("New panicked with %v", err)
		}
	}()
	New(&fake{caps: driver.Caps{}}, Config{Require: Requirements{Delay: true}})
}
