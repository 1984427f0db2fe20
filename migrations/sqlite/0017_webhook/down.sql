DROP TABLE dead_letter;
DROP TABLE webhook_delivery;
DROP TABLE webhook_work;
DROP TABLE webhook;
