DROP INDEX vm_in_bin;
