"""Record -> measurements. Pure: opens no file, reads no clock."""
