import { useEffect, useState } from 'react';

export interface Devices {
  cameras: MediaDeviceInfo[];
  microphones: MediaDeviceInfo[];
  speakers: MediaDeviceInfo[];
}

const NONE: Devices = { cameras: [], microphones: [], speakers: [] };

/**
 * The devices of this machine, kept current. Browsers hide names, and mostly the devices too,
 * until a capture was allowed: pass something that changes then, such as the local stream.
 */
export function useDevices(permission?: unknown): Devices {
  const [devices, setDevices] = useState(NONE);
  useEffect(() => {
    const { mediaDevices } = navigator;
    if (!mediaDevices) return undefined;
    let current = true;
    const list = async () => {
      const all = await mediaDevices.enumerateDevices().catch(() => []);
      const ofKind = (kind: MediaDeviceKind) => all.filter((device) => device.kind === kind && device.deviceId !== '');
      if (!current) return;
      setDevices({
        cameras: ofKind('videoinput'),
        microphones: ofKind('audioinput'),
        speakers: ofKind('audiooutput'),
      });
    };
    void list();
    mediaDevices.addEventListener('devicechange', list);
    return () => {
      current = false;
      mediaDevices.removeEventListener('devicechange', list);
    };
  }, [permission]);
  return devices;
}
