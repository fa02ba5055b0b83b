package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// token is a token that a client was given.
type token struct {
	scopes []string
	uses   int // requests that came with it
}

// allows reports whether a scope of the token has the action.
func (t token) allows(repo, action string) bool {
	return slices.ContainsFunc(t.scopes, func(scope string) bool {
		actions, ok := strings.CutPrefix(scope, "repository:"+repo+":")
		return ok && slices.Contains(strings.Split(actions, ","), action)
	})
}

// mayPull reports whether the request may pull from another repository.
func (s *Server) mayPull(r *http.Request, repo string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour.Auth != "bearer" || s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")].allows(repo, "pull")
}

// admits reports whether the request for a repository may pass. If not, it has answered the
// request. repo is "" for a request that is not about an image.
func (s *Server) admits(w http.ResponseWriter, r *http.Request, repo string) bool {
	s.mu.Lock()
	b := s.behaviour
	s.mu.Unlock()
	switch b.Auth {
	case "":
		return true
	case "basic":
		if user, password, _ := r.BasicAuth(); user == b.User && password == b.Password {
			return true
		}
		challenge(w, b, `Basic realm="test, with a comma"`, "")
		return false
	}
	scope, action := "repository:"+repo+":pull", "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.Contains(r.URL.Path, "/uploads/") {
		scope, action = scope+",push", "push"
	}
	value, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, known := s.useToken(value, repo)
	expired := known && b.TokenUses > 0 && t.uses > b.TokenUses
	if known && !expired && (repo == "" || t.allows(repo, action)) {
		return true
	}
	realm := s.scheme() + s.Host + "/token"
	c := fmt.Sprintf(`Bearer realm=%q,service="test, with a comma"`, realm)
	if repo != "" {
		c += fmt.Sprintf(",scope=%q", scope)
	}
	if given {
		c += `,error="invalid_token"`
	}
	if expired {
		s.count(func(c *counters) { c.Expired++ })
	}
	challenge(w, b, c, realm)
	return false
}

// useToken returns the token that value is, with one use more for repo, if that is not "". known
// is false if it is none.
func (s *Server) useToken(value, repo string) (t token, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, known = s.tokens[value]; known && repo != "" {
		t.uses++
		s.tokens[value] = t
	}
	return t, known
}

func challenge(w http.ResponseWriter, b Behaviour, usual, realm string) {
	if b.Challenge != "" {
		usual = strings.ReplaceAll(b.Challenge, "{realm}", realm)
	}
	w.Header()["Www-Authenticate"] = strings.Split(usual, "\n")
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

// token is the endpoint where clients get a token: by GET with a password, if there is one,
// or by POST with an identity token, as in OAuth 2.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	b := s.behaviour
	s.mu.Unlock()
	user, password, basic := r.BasicAuth()
	ok := b.User == "" && !basic || basic && user == b.User && password == b.Password
	if r.Method == http.MethodPost {
		ok = b.IdentityToken != "" && r.PostFormValue("grant_type") == "refresh_token" && r.PostFormValue("refresh_token") == b.IdentityToken ||
			r.PostFormValue("grant_type") == "password" && r.PostFormValue("username") == b.User && r.PostFormValue("password") == b.Password
	}
	if !ok {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	t := token{}
	for _, scope := range append(r.URL.Query()["scope"], r.PostForm["scope"]...) {
		t.scopes = append(t.scopes, strings.Fields(scope)...)
	}
	answer := map[string]any{}
	if b.ExpiresIn > 0 {
		answer["expires_in"] = b.ExpiresIn
	}
	s.mu.Lock()
	value := fmt.Sprintf("token-number-%d", len(s.tokens))
	s.tokens[value] = t
	s.stats.Tokens++
	s.mu.Unlock()
	if b.TokenField != "access_token" {
		answer["token"] = value
	}
	if b.TokenField == "access_token" || b.TokenField == "both" {
		answer["access_token"] = value
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}
