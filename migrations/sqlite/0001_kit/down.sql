DROP TABLE operation_work;
DROP TABLE request;
DROP TABLE change_log;
DROP TABLE operation;
