// A certificate authority of the lab's own, which all its browsers trust.

import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { run } from './space.mjs'

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']

export class Authority {
  #folder
  #certificate
  #key
  #database // of NSS, with the authority's certificate in it

  static async create (folder) {
    const authority = new Authority()
    authority.#folder = folder
    authority.#certificate = path.join(folder, 'authority.pem')
    authority.#key = path.join(folder, 'authority.key')
    authority.#database = path.join(folder, 'nss')
    mkdirSync(authority.#database, { recursive: true })
    await run(['openssl', 'req', '-x509', ...newKey, '-subj', '/CN=network lab', '-keyout', authority.#key, '-out', authority.#certificate,
      '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'])
    const database = `sql:${authority.#database}`
    await run(['certutil', '-N', '-d', database, '--empty-password'])
    await run(['certutil', '-A', '-d', database, '-n', 'network lab', '-t', 'C,,', '-i', authority.#certificate])
    return authority
  }

  get certificate () {
    return readFileSync(this.#certificate, 'utf8')
  }

  // issue returns the files of a certificate for a host name: {cert, key}.
  async issue (name) {
    const files = { cert: path.join(this.#folder, `${name}.pem`), key: path.join(this.#folder, `${name}.key`) }
    await run(['openssl', 'req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-keyout', files.key, '-out', files.cert,
      '-CA', this.#certificate, '-CAkey', this.#key, '-addext', `subjectAltName=DNS:${name}`,
      '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'extendedKeyUsage=serverAuth'])
    return files
  }

  // trustIn puts the authority into a folder where a browser keeps its certificates.
  trustIn (folder) {
    cpSync(this.#database, folder, { recursive: true })
  }
}
