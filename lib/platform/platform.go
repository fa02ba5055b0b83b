// Package platform describes the systems that images run on. It knows how a platform is
// written, which spellings mean the same, and which images run on a wanted platform. The
// rules are containerd's.
package platform

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Platform is a system that an image runs on, in the JSON of indexes and configurations.
type Platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version,omitempty"`
	OSFeatures   []string `json:"os.features,omitempty"`
	Variant      string   `json:"variant,omitempty"`
}

// String returns OS/ARCH[/VARIANT].
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Full is String with the version and the features, in containerd's spelling:
// OS(VERSION+FEATURE...)/ARCH.
func (p Platform) Full() string {
	more := strings.Join(append([]string{p.OSVersion}, p.OSFeatures...), "+")
	if more != "" {
		p.OS += "(" + more + ")"
	}
	return p.String()
}

// IsZero reports whether p says nothing.
func (p Platform) IsZero() bool { return p.Full() == "/" }

// IsUnknown reports whether p is the platform that builders give to entries that are not
// images, such as attestations.
func (p Platform) IsUnknown() bool { return p.OS == "unknown" && p.Architecture == "unknown" }

// systemPart matches the first part of a platform: OS or OS(VERSION+FEATURE...), where the
// version or the features may be left out.
var systemPart = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([^()+]+)(?:\(([^()+]*)((?:\+[^()+]+)*)\))?$`)
})

// Parse parses OS/ARCH[/VARIANT], or the form of Full; "" is linux on this architecture.
func Parse(s string) (Platform, error) {
	if s == "" {
		return Platform{OS: "linux", Architecture: runtime.GOARCH}.Normal(), nil
	}
	f := strings.Split(s, "/")
	if len(f) < 2 || len(f) > 3 || slices.Contains(f, "") {
		return Platform{}, fmt.Errorf("platform %q: want OS/ARCH or OS/ARCH/VARIANT", s)
	}
	m := systemPart().FindStringSubmatch(f[0])
	if m == nil {
		return Platform{}, fmt.Errorf("platform %q: want OS or OS(VERSION+FEATURE...) before the slash", s)
	}
	p := Platform{OS: m[1], OSVersion: m[2], Architecture: f[1]}
	if m[3] != "" {
		p.OSFeatures = strings.Split(m[3][1:], "+")
	}
	if len(f) == 3 {
		p.Variant = f[2]
	}
	return p.Normal(), nil
}

// Normal returns p in the one spelling that containerd compares: it replaces known aliases,
// and leaves the variant out where it is the architecture's only or first one.
func (p Platform) Normal() Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "i386":
		p.Architecture, p.Variant = "386", ""
	case "x86_64", "x86-64", "amd64":
		p.Architecture = "amd64"
		if p.Variant == "v1" {
			p.Variant = ""
		}
	case "aarch64", "arm64":
		p.Architecture = "arm64"
		if p.Variant == "8" || p.Variant == "v8" || p.Variant == "v8.0" {
			p.Variant = ""
		}
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	case "arm":
		switch p.Variant {
		case "", "7":
			p.Variant = "v7"
		case "5", "6", "8":
			p.Variant = "v" + p.Variant
		}
	}
	return p
}

// runs lists, best first, the platforms whose images run on p: containerd's
// order. An older variant runs on a newer one, 386 on amd64, arm on arm64.
func (p Platform) runs() []Platform {
	list := []Platform{p}
	older := func(arch, variant string, first int) {
		n, err := strconv.Atoi(strings.TrimPrefix(variant, "v"))
		if err != nil || n > 99 {
			return
		}
		for n--; n >= first; n-- {
			list = append(list, Platform{OS: p.OS, Architecture: arch, Variant: "v" + strconv.Itoa(n)}.Normal())
		}
	}
	switch p.Architecture {
	case "amd64":
		older("amd64", p.Variant, 1)
		list = append(list, Platform{OS: p.OS, Architecture: "386"})
	case "arm":
		older("arm", p.Variant, 5)
	case "arm64":
		list = append(list, olderARM64(p)...)
		older("arm", "v9", 5)
	}
	return list
}

// olderARM64 lists the older variants of 64-bit ARM. Each v9.N contains v8.N+5.
func olderARM64(p Platform) []Platform {
	major, minor, _ := strings.Cut(strings.TrimPrefix(p.Variant, "v"), ".")
	m, err := strconv.Atoi(major)
	if err != nil || m < 8 || m > 9 {
		return nil
	}
	n, err := strconv.Atoi(minor)
	if err != nil || n < 0 || n > 99 {
		n = 0
	}
	var list []Platform
	add := func(major, minor int) {
		v := fmt.Sprintf("v%d", major)
		if minor > 0 {
			v += "." + strconv.Itoa(minor)
		}
		list = append(list, Platform{OS: p.OS, Architecture: "arm64", Variant: v}.Normal())
	}
	for i := n - 1; i >= 0; i-- {
		add(m, i)
	}
	if m == 9 {
		for i := n + 5; i >= 0; i-- {
			add(8, i)
		}
	}
	return list
}

// Rank returns how well an image for have runs on p: 0 is best, -1 means not at all. An
// image that needs features of the system that p does not name does not run on p. If p
// names a version, the version of the image must be the same or begin with it.
func (p Platform) Rank(have Platform) int {
	for _, f := range have.OSFeatures {
		if !slices.Contains(p.OSFeatures, f) {
			return -1
		}
	}
	if p.OSVersion != "" && have.OSVersion != p.OSVersion && !strings.HasPrefix(have.OSVersion, p.OSVersion+".") {
		return -1
	}
	have = have.Normal()
	return slices.IndexFunc(p.runs(), func(r Platform) bool { return r.String() == have.String() })
}

// Accepts reports whether an image for have, the only one to choose from, may run on p.
// Where the image does not state its platform p accepts it: older builders leave the
// variant out.
func (p Platform) Accepts(have Platform) bool {
	if have.OS == "" {
		have.OS = p.OS
	}
	if have.OSVersion == "" {
		have.OSVersion = p.OSVersion
	}
	if have.Architecture == "" {
		have.Architecture, have.Variant = p.Architecture, p.Variant
	}
	if n := have.Normal(); have.Variant == "" && n.Architecture == p.Architecture {
		have.Variant = p.Variant
	}
	return p.Rank(have) >= 0
}
