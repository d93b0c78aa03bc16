// Any topic of COBY, live or replayed: each record once, as a line of JSON, with Confluent's own Avro deserializer.
//
//   npm ci --ignore-scripts
//   KAFKA_BOOTSTRAP_SERVERS=localhost:9092 COBY_API=http://localhost:8080 node consumer.mjs coby.heatmap.v1
//
// Where the API wants a key: COBY_API_KEY. It runs until it is interrupted.

import schemaregistry from "@confluentinc/schemaregistry";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import { exact } from "./exact.mjs";

const { AvroDeserializer, SchemaRegistryClient, SerdeType } = schemaregistry;
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

const key = process.env.COBY_API_KEY;
const registry = new SchemaRegistryClient({
  baseURLs: [process.env.COBY_API ?? "http://localhost:8080"],
  ...(key && { basicAuthCredentials: { credentialsSource: "USER_INFO", userInfo: `example:${key}` } }),
});
const deserializer = new AvroDeserializer(registry, SerdeType.VALUE, exact);

// A writer that starts anew repeats itself: what is not after the last place taken of its source was read before.
const taken = new Map();
function isNew(topic, partition, { session, run, n, source, position }) {
  const place = session === undefined ? position : `${run}:${n}`;
  if (place === undefined) return true; // settings, sessions, connections: of each key the last one counts
  const [first, index] = place.split(":").map(BigInt);
  const from = `${topic} ${partition} ${session ?? source}`;
  const last = taken.get(from);
  if (last && (first < last.first || (first === last.first && index <= last.index))) return false;
  taken.set(from, { first, index });
  return true;
}

async function show({ topic, partition, message }) {
  const texts = Object.entries(message.headers ?? {}).map(([name, value]) => [name, `${value}`]);
  const headers = Object.fromEntries(texts);
  if (!isNew(topic, partition, headers)) return;
  const value = await deserializer.deserialize(topic, message.value);
  const record = { topic, partition, offset: message.offset, key: `${message.key}`, headers, value };
  console.log(JSON.stringify(record, (_, item) => (typeof item === "bigint" ? `${item}` : item)));
}

// KafkaJS itself has gzip alone; our producers write lz4.
CompressionCodecs[CompressionTypes.LZ4] = () => ({ decompress: async (bytes) => Buffer.from(lz4.decompress(bytes)) });

const kafka = new Kafka({
  brokers: (process.env.KAFKA_BOOTSTRAP_SERVERS ?? "localhost:9092").split(","),
  logLevel: logLevel.ERROR,
  logCreator: () => ({ log }) => console.error(log.message, log.error ?? ""),
});
const consumer = kafka.consumer({ groupId: process.env.GROUP ?? "my-javascript" });
await consumer.connect();
await consumer.subscribe({ topics: process.argv.slice(2), fromBeginning: true });
await consumer.run({ eachMessage: show });
