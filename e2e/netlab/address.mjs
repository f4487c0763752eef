// IP addresses as the bytes that stand in packets.

import { isIPv6 } from 'node:net'

export function bytesOf (address) {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number))
  const [head, tail] = address.split('::').map(part => part ? part.split(':') : [])
  const words = tail ? [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail] : head
  return Buffer.from(words.map(word => word.padStart(4, '0')).join(''), 'hex')
}

// textOf writes IPv6 addresses in their shortest form.
export const textOf = bytes => bytes.length === 4
  ? bytes.join('.')
  : new URL(`http://[${bytes.toString('hex').match(/.{4}/g).join(':')}]`).hostname.slice(1, -1)
