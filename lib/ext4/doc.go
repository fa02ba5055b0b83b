// Package ext4 writes, grows and reads ext4 file systems.
package ext4
