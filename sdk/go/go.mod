module pando

go 1.24
