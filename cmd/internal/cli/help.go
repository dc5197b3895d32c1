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
	text := c.Short + "\n\n" + p.usage(c)
	if list := flagList(c); list != "" {
		text += "\nFlags:\n" + list
	}
	return text
}

// usage is the line that says how a command is written.
func (p Program) usage(c *Command) string {
	line := "Usage: " + p.title(c)
	if flagList(c) != "" {
		line += " [flags]"
	}
	if c.Usage != "" {
		line += " " + c.Usage
	}
	return line + "\n"
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
		var forms []string
		env := ""
		for _, n := range twins {
			if len(n) > len(f.Name) {
				f = fs.Lookup(n) // the long name's words say what it is for
			}
			dashes := "--"
			if len(n) == 1 {
				dashes = "-"
			}
			forms = append(forms, dashes+n)
			if env == "" {
				env = Env(n)
			}
		}
		value, usage := flag.UnquoteUsage(f)
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
