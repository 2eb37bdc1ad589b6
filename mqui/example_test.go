package mqui_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqui"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A program mounts the pages behind its own login.
func ExampleNew() {
	c, err := mq.Open("mem://")
	check(err)
	defer c.Close()

	ui, err := mqui.New([]mqui.Source{{Name: "shop", Client: c}}, mqui.Options{
		Authorize: func(r *http.Request) mqui.Role {
			switch r.Header.Get("X-Team") { // as the login in front has set it
			case "operators":
				return mqui.RoleOperate
			case "developers":
				return mqui.RoleLook
			}
			return mqui.RoleNone
		},
		Hosts: []string{"ops.example.com"},
	})
	check(err)
	defer func() { check(ui.Close()) }()
	http.Handle("/queues/", http.StripPrefix("/queues", ui))

	for _, team := range []string{"developers", "sales"} {
		r := httptest.NewRequest("GET", "https://ops.example.com/queues/", nil)
		r.Header.Set("X-Team", team)
		w := httptest.NewRecorder()
		http.DefaultServeMux.ServeHTTP(w, r)
		fmt.Println(team, w.Code)
	}
	// Output:
	// developers 200
	// sales 403
}

// A program without a login asks for credentials, which do not come from its command line.
func ExampleProtect() {
	check(os.Setenv("SHOP_OPERATORS", "alice:correct horse battery"))
	c, err := mq.Open("mem://")
	check(err)
	defer c.Close()
	creds, err := mqui.CredentialsEnv("SHOP_OPERATORS")
	check(err)
	h := mqui.Protect(mqui.Handler([]mqui.Source{{Name: "shop", Client: c}}, mqui.Options{}), creds)

	r := httptest.NewRequest("GET", "http://localhost:8080/", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code)
	r.SetBasicAuth("alice", "correct horse battery")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// 401
	// 200
}
