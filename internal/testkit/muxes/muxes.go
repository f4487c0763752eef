// Package muxes looks into Pion's UDP muxes, for tests that must see what they hold and not what they say.
package muxes

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/pion/ice/v4"
)

// Entries counts what the muxes below mux hold: connections, by user name fragment, and the remote addresses
// that lead to one. It knows the fields of Pion's types by name and takes their locks; it fails when they are
// not what they were.
func Entries(mux *ice.MultiUDPMuxDefault) (conns, addresses int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the muxes are built in another way now: %v", r)
		}
	}()
	all := reflect.ValueOf(mux).Elem().FieldByName("muxes")
	for i := range all.Len() {
		one := unwrap(all.Index(i))
		conns += count[sync.Mutex](one, "mu", "connsIPv4") + count[sync.Mutex](one, "mu", "connsIPv6")
		addresses += count[sync.RWMutex](one, "addressMapMu", "addressMap")
	}
	return conns, addresses, nil
}

// count is the length of a map that a lock guards.
func count[L any, P interface {
	*L
	sync.Locker
}](mux reflect.Value, lock, name string) int {
	guard := mux.FieldByName(lock)
	if guard.Type() != reflect.TypeFor[L]() {
		panic(fmt.Sprintf("%s is a %s", lock, guard.Type()))
	}
	mu := P(unsafe.Pointer(guard.UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	return mux.FieldByName(name).Len()
}

// unwrap follows pointers, interfaces and what a mux of our own embeds down to Pion's struct.
func unwrap(v reflect.Value) reflect.Value {
	for {
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			v = v.Elem()
			continue
		case reflect.Struct:
			if inner := v.FieldByName("UDPMuxDefault"); inner.IsValid() {
				v = inner
				continue
			}
		}
		return v
	}
}
