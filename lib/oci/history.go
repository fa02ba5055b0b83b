package oci

import (
	"encoding/json"
	"strings"

	"ocipipe/lib/oci/printable"
)

// CreatedBy returns for each layer the command that made it, as the history in the
// configuration has it, in printable characters and single spaces. It returns nil if the
// history does not have an entry for each layer. Nothing trusts it.
func (img *Image) CreatedBy() []string {
	var config struct {
		History []struct {
			CreatedBy  string `json:"created_by"`
			Comment    string `json:"comment"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	if json.Unmarshal(img.Config, &config) != nil {
		return nil
	}
	var list []string
	for _, h := range config.History {
		if h.EmptyLayer {
			continue
		}
		text := h.CreatedBy
		if text == "" {
			text = h.Comment
		}
		list = append(list, strings.Join(strings.Fields(printable.Text(text)), " "))
	}
	if len(list) != len(img.Layers) {
		return nil
	}
	return list
}
