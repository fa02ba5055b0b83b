package commit

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Change says how the configuration of the base is changed: what a container of the image
// runs. What is nil or empty stays as it is.
type Change struct {
	Env        []string // NAME=VALUE; replaces the value of the same name
	Entrypoint *[]string
	// Cmd is kept if Entrypoint is nil. An Entrypoint without Cmd removes that of the base,
	// which was made for another program.
	Cmd        *[]string
	WorkingDir string
	User       *string
	Labels     map[string]string
	Expose     []string // PORT[/PROTOCOL]
	Volumes    []string // paths
	StopSignal string
}

var portForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([1-9][0-9]{0,4})(/(tcp|udp|sctp))?$`)
})

var signalForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([1-9][0-9]?|SIG[A-Z0-9]+([+-][0-9]{1,2})?)$`)
})

// Check returns an error for values that no container could have.
func (c *Change) Check() error {
	for _, e := range c.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("environment %.100q: want NAME=VALUE", e)
		}
	}
	for _, p := range c.Expose {
		m := portForm().FindStringSubmatch(p)
		if m == nil || len(m[1]) == 5 && m[1] > "65535" {
			return fmt.Errorf("port %.100q: want PORT or PORT/tcp, udp or sctp", p)
		}
	}
	for _, v := range c.Volumes {
		if !strings.HasPrefix(v, "/") {
			return fmt.Errorf("volume %.100q: want an absolute path", v)
		}
	}
	if c.WorkingDir != "" && !strings.HasPrefix(c.WorkingDir, "/") {
		return fmt.Errorf("working directory %.100q: want an absolute path", c.WorkingDir)
	}
	if c.StopSignal != "" && !signalForm().MatchString(c.StopSignal) {
		return fmt.Errorf("signal %.100q: want a name such as SIGTERM, or a number", c.StopSignal)
	}
	if _, ok := c.Labels[""]; ok {
		return fmt.Errorf("label without a name")
	}
	return c.checkText()
}

// checkText refuses NUL, which no process can be given.
func (c *Change) checkText() error {
	texts := append([]string{c.WorkingDir}, c.Env...)
	texts = append(texts, c.Volumes...)
	for _, list := range []*[]string{c.Entrypoint, c.Cmd} {
		if list != nil {
			texts = append(texts, *list...)
		}
	}
	if c.User != nil {
		texts = append(texts, *c.User)
	}
	for _, t := range texts {
		if strings.IndexByte(t, 0) >= 0 {
			return fmt.Errorf("NUL in %.100q", t)
		}
	}
	return nil
}

// apply changes the member config of a configuration.
func (c *Change) apply(conf *object) error {
	if len(c.Env) > 0 {
		var env []string
		if err := conf.get("Env", &env); err != nil {
			return err
		}
		for _, e := range c.Env {
			env = setEnv(env, e)
		}
		conf.set("Env", env)
	}
	if c.Entrypoint != nil {
		conf.setList("Entrypoint", *c.Entrypoint)
		if c.Cmd == nil {
			conf.remove("Cmd")
		}
	}
	if c.Cmd != nil {
		conf.setList("Cmd", *c.Cmd)
	}
	if c.User != nil {
		conf.set("User", *c.User)
	}
	if c.WorkingDir != "" {
		conf.set("WorkingDir", c.WorkingDir)
	}
	if c.StopSignal != "" {
		conf.set("StopSignal", c.StopSignal)
	}
	ports := make([]string, 0, len(c.Expose))
	for _, p := range c.Expose {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		ports = append(ports, p)
	}
	if err := conf.addNames("ExposedPorts", ports); err != nil {
		return err
	}
	if err := conf.addNames("Volumes", c.Volumes); err != nil {
		return err
	}
	return conf.addLabels(c.Labels)
}

// setEnv replaces the value of a name, wherever it stands; of several the first stays.
func setEnv(env []string, entry string) []string {
	name, _, _ := strings.Cut(entry, "=")
	kept, found := make([]string, 0, len(env)+1), false
	for _, e := range env {
		if n, _, _ := strings.Cut(e, "="); n != name {
			kept = append(kept, e)
		} else if !found {
			kept, found = append(kept, entry), true
		}
	}
	if !found {
		kept = append(kept, entry)
	}
	return kept
}

// setList sets a list of words; an empty one is removed.
func (o *object) setList(name string, words []string) {
	if len(words) == 0 {
		o.remove(name)
		return
	}
	o.set(name, words)
}

// addNames adds members, which are empty objects, to the set called name.
func (o *object) addNames(name string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	set := map[string]json.RawMessage{}
	if err := o.get(name, &set); err != nil {
		return err
	}
	if set == nil { // null
		set = map[string]json.RawMessage{}
	}
	for _, n := range names {
		if set[n] == nil {
			set[n] = json.RawMessage("{}")
		}
	}
	o.set(name, set)
	return nil
}

func (o *object) addLabels(labels map[string]string) error {
	if len(labels) == 0 {
		return nil
	}
	all := map[string]string{}
	if err := o.get("Labels", &all); err != nil {
		return err
	}
	if all == nil {
		all = map[string]string{}
	}
	for k, v := range labels {
		all[k] = v
	}
	o.set("Labels", all)
	return nil
}
