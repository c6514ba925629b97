"""What people see: tables, plots and pages."""
