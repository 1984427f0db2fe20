-- Nothing: SQLite has the host in `vm_by_name` since 0018, and looks at few rows then. Each change of a state would be dearer here
-- with the state in the index.
SELECT 1;
