package cli

import (
	"flag"
	"fmt"
	"strings"
)

func (p Program) title(c *Command) string {
	if c.Name == "" {
		return p.Name
	}
	return p.Name + " " + c.Name
}

// overview is the help of the whole program: the default command's own, then the
// names of the others.
func (p Program) overview() string {
	var b strings.Builder
	if c := p.find(""); c != nil {
		b.WriteString(p.help(c))
		b.WriteString("\n")
	} else {
		fmt.Fprintf(&b, "Usage: %s COMMAND [flags]\n\n", p.Name)
	}
	b.WriteString("Commands:\n")
	for i := range p.Commands {
		if c := &p.Commands[i]; c.Name != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", c.Name, c.Short)
		}
	}
	fmt.Fprintf(&b, "  %-10s %s\n", "version", "Print the version.")
	fmt.Fprintf(&b, "\nSee %s COMMAND --help for a command's flags.\n", p.Name)
	return b.String()
}

// help is the help of one command.
func (p Program) help(c *Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: %s", c.Short, p.title(c))
	list := flagList(c)
	if list != "" {
		b.WriteString(" [flags]")
	}
	if c.Usage != "" {
		b.WriteString(" " + c.Usage)
	}
	b.WriteString("\n")
	if list != "" {
		b.WriteString("\nFlags:\n" + list)
	}
	return b.String()
}

func flagList(c *Command) string {
	fs := flags(c)
	names := map[flag.Value][]string{}
	fs.VisitAll(func(f *flag.Flag) { names[f.Value] = append(names[f.Value], f.Name) })
	var b strings.Builder
	fs.VisitAll(func(f *flag.Flag) {
		twins := names[f.Value]
		if twins == nil {
			return // shown with its twin
		}
		delete(names, f.Value)
		value, usage := flag.UnquoteUsage(f)
		var forms []string
		env := ""
		for _, n := range twins {
			dashes := "--"
			if len(n) == 1 {
				dashes = "-"
			}
			forms = append(forms, dashes+n)
			if env == "" {
				env = Env(n)
			}
		}
		b.WriteString("  " + strings.Join(forms, ", "))
		if value != "" {
			b.WriteString(" " + value)
		}
		b.WriteString("\n        " + usage)
		if d := f.DefValue; d != "" && d != "false" {
			b.WriteString(" (default " + d + ")")
		}
		if env != "" {
			b.WriteString(" [" + env + "]")
		}
		b.WriteString("\n")
	})
	return b.String()
}
