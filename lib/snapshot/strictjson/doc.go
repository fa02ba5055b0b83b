// Package strictjson reads JSON without forgiving anything, and writes it in the one form
// of which digests are taken.
//
// Package encoding/json does not fit either purpose. It takes the last of two equal keys,
// replaces invalid characters, escapes < > & and U+2028, and rewrites numbers.
//
// [Parse] refuses duplicate keys at any depth, also where they are spelled differently,
// invalid UTF-8, halves of surrogate pairs, a byte order mark, anything after the value,
// and numbers other than integers of 64 bits: serde_json, which made the form, does not
// round all others exactly, so there is no one form of them.
//
// The canonical form has no white space. Strings escape only the quotation mark, the
// backslash and control characters. Keys of objects are in the order of their bytes, except
// where a record has an order of its own, which its encoder knows.
package strictjson
