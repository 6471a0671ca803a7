package command

type settingsCommand struct {
	Check     checkCommand     `cmd:"" help:"Say everything that is wrong with the configuration."`
	Print     printCommand     `cmd:"" help:"Print the settings in force as YAML, without the secrets."`
	Reference referenceCommand `cmd:"" help:"Print config.yaml: every setting with its default and its reason."`
}

type checkCommand struct{}

func (checkCommand) Run(in *invocation) error {
	if _, err := in.load(); err != nil {
		return err
	}
	in.printf("The configuration is valid.\n")
	return nil
}

type printCommand struct{}

// Run prints an invalid configuration too: that is when one wants to see it.
func (printCommand) Run(in *invocation) error {
	cfg, err := in.loadOnly()
	if err != nil {
		return err
	}
	return cfg.Print(in.Stdout)
}

type referenceCommand struct{}

func (referenceCommand) Run(in *invocation) error {
	_, err := in.Stdout.Write(in.Reference)
	return err
}
