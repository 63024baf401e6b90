module price

go 1.24
