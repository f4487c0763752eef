import { useId } from 'react';
import type { Devices, UseWebRTC } from '@skillsage/hook';

interface DevicePickersProps {
  call: UseWebRTC;
  devices: Devices;
  speaker: string;
  onSpeaker: (deviceId: string) => void;
}

const canChooseSpeaker = 'setSinkId' in HTMLMediaElement.prototype;

/** Camera, microphone and, where the browser lets one choose, loudspeaker. */
export function DevicePickers({ call, devices, speaker, onSpeaker }: DevicePickersProps) {
  const { stream } = call.localMedia;
  const camera = stream?.getVideoTracks()[0]?.getSettings().deviceId ?? '';
  const microphone = stream?.getAudioTracks()[0]?.getSettings().deviceId ?? '';
  // Always all of them, so that nothing moves under the pointer when the devices become known.
  return (
    <>
      <Picker
        label="Camera"
        devices={stream ? devices.cameras : []}
        value={camera}
        onChange={(id) => call.switchDevice('video', id)}
      />
      <Picker
        label="Microphone"
        devices={stream ? devices.microphones : []}
        value={microphone}
        onChange={(id) => call.switchDevice('audio', id)}
      />
      {canChooseSpeaker && (
        <Picker label="Speaker" devices={devices.speakers} value={speaker || 'default'} onChange={onSpeaker} />
      )}
    </>
  );
}

interface PickerProps {
  label: string;
  devices: MediaDeviceInfo[];
  value: string;
  onChange: (deviceId: string) => unknown;
}

function Picker({ label, devices, value, onChange }: PickerProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        disabled={devices.length === 0}
        onChange={(event) => void onChange(event.target.value)}
      >
        {!devices.some((device) => device.deviceId === value) && (
          <option value={value}>{devices.length === 0 ? 'None' : 'Choose…'}</option>
        )}
        {devices.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${label} ${index + 1}`}
          </option>
        ))}
      </select>
    </div>
  );
}
