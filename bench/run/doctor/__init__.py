"""What a machine can do, looked at before a study is trusted to it."""
