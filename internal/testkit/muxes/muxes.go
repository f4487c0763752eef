// Package muxes looks into Pion's UDP muxes, for tests that must see what they hold and not what they say.
package muxes

import (
	"fmt"
	"reflect"

	"github.com/pion/ice/v4"
)

// Entries counts what the muxes below mux hold: connections, by user name fragment, and the remote addresses
// that lead to one. It knows the fields of Pion's types by name and fails when they are gone.
func Entries(mux *ice.MultiUDPMuxDefault) (conns, addresses int, err error) {
	for _, addr := range mux.GetListenAddresses() {
		// Taking and removing a connection takes both locks of the mux: what was done under them before is then
		// visible here.
		const probe = "muxes-entries-probe"
		conn, err := mux.GetConn(probe, addr)
		if err != nil {
			return 0, 0, err
		}
		_ = conn.Close()
		mux.RemoveConnByUfrag(probe)
	}
	all := reflect.ValueOf(mux).Elem().FieldByName("muxes")
	if !all.IsValid() {
		return 0, 0, fmt.Errorf("%T has no field muxes", mux)
	}
	for i := range all.Len() {
		one := unwrap(all.Index(i))
		for name, count := range map[string]*int{"connsIPv4": &conns, "connsIPv6": &conns, "addressMap": &addresses} {
			field := one.FieldByName(name)
			if !field.IsValid() || field.Kind() != reflect.Map {
				return 0, 0, fmt.Errorf("%s has no map %s", one.Type(), name)
			}
			*count += field.Len()
		}
	}
	return conns, addresses, nil
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
