module ocipipe

go 1.25
