// npm's docker-compose: all its calls, as `docker compose`, with a program of
// its own, and stand-alone.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.env.CLIENTS, 'node', 'x.js'));
const compose = require('docker-compose');

const ways = {
  docker: {},
  executable: { executable: { executablePath: process.env.RCOMPOSE } },
  standalone: { executable: { executablePath: process.env.RCOMPOSE, standalone: true } },
};
const way = ways[process.argv[2]];
assert(way, 'which way');
const options = { cwd: process.cwd(), log: false, ...way };

const up = await compose.upAll(options);
assert.equal(up.exitCode, 0);
assert.match(up.err, /Container demo-web-1 +Started/);

const ps = await compose.ps(options);
const web = ps.data.services.find((service) => service.name === 'demo-web-1');
assert.match(web.state, /^Up/);
assert.equal(web.ports[0].exposed.port, 80);
const json = await compose.ps({ ...options, commandOptions: [['--format', 'json']] });
assert.deepEqual(json.data.services.map((service) => service.name).sort(), ['demo-db-1', 'demo-web-1']);

const port = await compose.port('web', 80, options);
assert.equal(port.data.address, '127.0.0.1');
assert.equal(port.data.port, web.ports[0].mapped.port);

assert.match((await compose.version(options)).data.version, /^\d+\.\d+\.\d+/);
assert.deepEqual((await compose.configServices(options)).data.services.sort(), ['db', 'web']);
assert.deepEqual((await compose.configVolumes(options)).data.volumes, ['data']);
assert.equal((await compose.config(options)).data.config.services.web.image, 'busybox:local');
const fromText = { ...options, config: undefined, configAsString: readFileSync('compose.yaml', 'utf8') };
assert.deepEqual((await compose.configServices(fromText)).data.services.sort(), ['db', 'web']);

assert.equal((await compose.exec('web', 'echo inside', options)).out.trim(), 'inside');
assert.equal((await compose.run('db', 'echo once', { ...options, commandOptions: ['--rm'] })).out.trim(), 'once');
assert.match((await compose.logs('web', options)).out, /serving/);
const images = await compose.images(options);
assert(images.data.services.some((image) => image.repository === 'busybox' && image.tag === 'local'));
const stats = await compose.stats('web', options);
assert.equal(stats.Name, 'demo-web-1');

assert.equal((await compose.pauseOne('db', options)).exitCode, 0);
assert.equal((await compose.unpauseOne('db', options)).exitCode, 0);
assert.equal((await compose.restartOne('db', options)).exitCode, 0);
assert.equal((await compose.stopOne('db', options)).exitCode, 0);
assert.equal((await compose.rm(options, 'db')).exitCode, 0);
assert.equal((await compose.createOne('db', options)).exitCode, 0);
assert.equal((await compose.upOne('db', options)).exitCode, 0);
assert.equal((await compose.upMany(['db', 'web'], options)).exitCode, 0);
assert.equal((await compose.kill(options)).exitCode, 0);
assert.equal((await compose.stop(options)).exitCode, 0);
assert.equal((await compose.restartAll(options)).exitCode, 0);
assert.equal((await compose.downAll({ ...options, commandOptions: ['--volumes'] })).exitCode, 0);
await assert.rejects(compose.exec('nobody', 'true', options), (failed) => /no such service: nobody/.test(failed.err));
console.log(`npm docker-compose: all calls as ${process.argv[2]}`);
